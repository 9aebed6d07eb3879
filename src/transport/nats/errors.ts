/**
 * What went wrong with NATS, in words, and what to do about it. Pure.
 */
import { HoldfastError, isHoldfastError } from '../../errors.ts';

/** Codes of the server's API (`err_code`) that are looked at. */
export const CODES = {
  consumerNotFound: 10014,
  noMessageFound: 10037,
  streamNameInUse: 10058,
  streamNotFound: 10059,
  messageTooLarge: 10054,
  headerTooLarge: 10097,
  severalUnfilteredConsumers: 10099,
  consumersOverlap: 10100,
  sequenceMismatch: 10063,
  duplicateInProcess: 10158,
  tooManyRequests: 10167,
} as const;

/** The `err_code` of an answer of the server; null: it is another error. */
export function apiCodeOf(error: unknown): number | null {
  if (!(error instanceof Error)) return null;
  const { name, code, cause } = error as Error & { readonly code?: unknown };
  if (name === 'JetStreamApiError' || name === 'StreamNotFoundError' || name === 'ConsumerNotFoundError')
    return typeof code === 'number' ? code : null;
  return cause === undefined ? null : apiCodeOf(cause);
}

/** A sentence without its end. */
export function whyOf(error: unknown): string {
  const text = isHoldfastError(error) ? withoutAdvice(error) : error instanceof Error ? error.message : String(error);
  if (error instanceof Error && error.name === 'JetStreamNotEnabled' && apiCodeOf(error) === null)
    return 'nobody answers requests of JetStream';
  if (error instanceof Error && error.name === 'TimeoutError') return 'it has not answered in time';
  return text.replace(/\.$/, '');
}

function withoutAdvice({ message, advice }: HoldfastError): string {
  return advice === undefined ? message : message.slice(0, -advice.length).trimEnd();
}

/** What to do, by what the server or the client says. The first that fits. */
const ADVICE: readonly (readonly [RegExp, string])[] = [
  [/Authorization|Authentication/i, 'Check user, password, token or credentials of the connection.'],
  [/Permissions? Violation/i, 'Give the user the rights that docs/transports.md lists for NATS.'],
  [
    /not enabled|requests of JetStream/i,
    'Start nats-server with JetStream (-js), and allow it for the account of the user; a cluster needs most of its servers.',
  ],
  [/replicas > 1 not supported/i, 'Leave replicas at 1, or run a cluster of as many servers.'],
  [
    /no suitable peers|insufficient resources/i,
    'The cluster must have as many servers with JetStream as there are to be replicas, with room for the stream.',
  ],
  [/max bytes set/i, 'The account wants a limit for each stream: set maxBytes.'],
  [
    /maximum (bytes|messages)|resource|storage|memory/i,
    'It is full: let consumers catch up, or raise the limits of the stream or of the account.',
  ],
  [/subjects overlap/i, 'Another stream has these subjects: remove it, or give this transport another prefix.'],
  [
    /not unique on workqueue|multiple non-filtered/i,
    'A destination is read with order or without, and by Holdfast alone: stop what else reads its stream, and remove that consumer.',
  ],
  [/does not offer TLS/i, "Take 'tls' away from the connection, or set the server up for TLS."],
  [/certificate|self.signed|TLS/i, "Check 'tls' of the connection: the authority (ca) and the name of the server."],
  [/cannot be reached|said nothing|does not speak NATS|without a greeting/i, 'Check that it runs, and host and port.'],
];

/**
 * `did` is what the broker did not do: 'did not take the batch'.
 *
 * @param otherwise what to do about what nothing special is known of
 */
export function unavailable(did: string, cause: unknown, otherwise = 'Check that it runs.'): HoldfastError {
  if (isHoldfastError(cause, 'HF_TRANSPORT_UNAVAILABLE')) return cause;
  const why = whyOf(cause);
  const known = isHoldfastError(cause) ? cause.advice : ADVICE.find(([pattern]) => pattern.test(why))?.[1];
  return new HoldfastError('HF_TRANSPORT_UNAVAILABLE', `The broker (nats) ${did}: ${why}.`, {
    advice: known ?? otherwise,
    cause,
  });
}

/** Whether a server that leads a stream or a consumer may just be missing, which passes within seconds where it is being elected or made. */
export function isLeaderless(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return error.name === 'TimeoutError' || (error.name === 'JetStreamNotEnabled' && apiCodeOf(error) === null);
}
