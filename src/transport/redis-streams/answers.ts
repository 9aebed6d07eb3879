/**
 * What errors of Redis mean: whose fault they are, and what to do. Pure.
 */
import { HoldfastError, isHoldfastError } from '../../errors.ts';

/** About one message: what Redis says of an entry that is too large. Everything else (OOM, READONLY, NOPERM, …) is about Redis as a whole. */
export function isMessageFault(text: string): boolean {
  return /too large to be stored|exceeds maximum allowed size|invalid bulk length/i.test(text);
}

export function isGroupMissing(error: unknown): boolean {
  return error instanceof Error && /\bNOGROUP\b/.test(error.message);
}

/** Whether Redis has said that the role may not do this. */
export function isForbidden(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return /\bNOPERM\b/.test(error.message) || isForbidden(error.cause);
}

/** What Redis deletes when it makes room for others. */
export const LOST_BY_EVICTION = 'streams and all that lies in them';

/** What to do about an answer by which nobody can work until somebody acts. */
const ADVICE: readonly (readonly [RegExp, string])[] = [
  [/\bWRONGTYPE\b/, 'A key of that name is there and is no stream: give the transport another prefix.'],
  [/\bNOPERM\b|can't run this command/, 'docs/transports.md lists the rights that a role needs.'],
  [/\b(NOAUTH|WRONGPASS)\b|without any password/, 'Give the right user and password.'],
  [/\bOOM\b/, 'Redis is full: raise maxmemory, or start the consumers that take messages out of it.'],
  [/\bMISCONF\b/, 'Redis cannot write to its disk and refuses everything until it can.'],
  [/\bREADONLY\b/, 'This is a replica: give the address of the primary, or Sentinel.'],
  [/\b(CROSSSLOT|MOVED)\b/, "This is a node of a cluster: give its nodes as connection: { cluster: ['host:port'] }."],
  [/cluster support disabled/, 'This Redis is no cluster: give its address as the connection.'],
  [/unknown command|syntax error/i, 'Redis 6.2 or later, or Valkey, is needed.'],
];

/** An error of Redis as one of ours: what was wanted of the broker, why it failed, and what to do. */
export function brokerFailure(cause: unknown, what: string, otherwise: string): HoldfastError {
  if (isHoldfastError(cause, 'HF_TRANSPORT_UNAVAILABLE')) return cause;
  const why = reasonOf(cause);
  const advice = ADVICE.find(([pattern]) => pattern.test(why))?.[1] ?? otherwise;
  return new HoldfastError('HF_TRANSPORT_UNAVAILABLE', `The broker (redis-streams) ${what}: ${why}.`, {
    advice,
    cause,
  });
}

/** One line without a dot at its end; of an error that a script met, what Redis says where goes. */
function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  // ioredis says "Reached the max retries per request limit (which is 0)" when a connection breaks under a command.
  if (cause.name === 'MaxRetriesPerRequestError') return 'the connection was lost';
  const last =
    'lastNodeError' in cause && cause.lastNodeError instanceof Error ? `: ${cause.lastNodeError.message}` : '';
  return `${cause.message}${last}`.replace(/,? ?script: [0-9a-f]{40}.*$/s, '').replace(/\.+$/, '');
}
