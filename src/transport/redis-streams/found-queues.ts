/**
 * Finds all destinations of a prefix, with their state: for `holdfast doctor` and `holdfast status`, which are given none.
 */
import { timeLimit } from '../../runtime/time-limit.ts';
import type { FoundQueue, FoundQueues, QueueRemark } from '../port.ts';
import { evictionWarning, infoValue } from '../redis/redis-info.ts';
import { brokerFailure, isForbidden, LOST_BY_EVICTION } from './answers.ts';
import type { StreamsConnection } from './connection.ts';
import { indexKey } from './keys.ts';
import { type OpenStreams, openStreams } from './load.ts';
import { resolveStreamsOptions, type StreamsSettings } from './options.ts';
import { readStreamState } from './queue-state.ts';

/** More are not of use to anybody who reads. */
const MOST = 500;

/** Rejects with HF_TRANSPORT_UNAVAILABLE. */
export async function findStreams(
  open: OpenStreams,
  settings: StreamsSettings,
  signal: AbortSignal,
): Promise<FoundQueues> {
  let connection: StreamsConnection | undefined;
  try {
    signal.throwIfAborted();
    connection = await open();
    return await lookAtAll(connection, settings, signal);
  } catch (error) {
    throw brokerFailure(
      error,
      'cannot be looked at',
      'Check that it runs, and address, password and rights of the user.',
    );
  } finally {
    connection?.end();
  }
}

/**
 * Those of the Redis at a URL, under the default prefix, for who is told nothing else. None where the role may not look for them: it may be
 * one for BullMQ alone. Rejects with HF_TRANSPORT_UNAVAILABLE.
 */
export async function streamsOnRedis(url: string, { timeoutMs }: { readonly timeoutMs: number }): Promise<FoundQueues> {
  const settings = resolveStreamsOptions({ connection: url, publishTimeout: timeoutMs });
  try {
    return await findStreams(openStreams(settings), settings, timeLimit(timeoutMs));
  } catch (error) {
    if (isForbidden(error)) return { queues: [], complete: true };
    throw error;
  }
}

async function lookAtAll(
  connection: StreamsConnection,
  settings: StreamsSettings,
  signal: AbortSignal,
): Promise<FoundQueues> {
  const { prefix, partitionsOf } = settings;
  const names = (await connection.ask((client) => client.smembers(indexKey(prefix)), signal)).toSorted();
  const queues: FoundQueue[] = [];
  for (const destination of names.slice(0, MOST)) {
    const partitions = partitionsOf(destination);
    // oxlint-disable-next-line no-await-in-loop -- nobody is in a hurry, and Redis has other work
    const state = await readStreamState({ connection, prefix, destination, partitions, owner: null, signal });
    queues.push({ destination, state });
  }
  const [first, ...others] = queues;
  if (first === undefined) return { queues, complete: true };
  // They are of Redis, and so of all queues: said once.
  const remarks = [...first.state.remarks, ...(await remarksOnServer(connection, signal))];
  return { queues: [{ ...first, state: { ...first.state, remarks } }, ...others], complete: names.length <= MOST };
}

/** INFO may be forbidden: then nothing is known. */
async function remarksOnServer(connection: StreamsConnection, signal: AbortSignal): Promise<readonly QueueRemark[]> {
  const info = await connection.ask((client) => client.info(), signal).catch(() => '');
  return assessServer(info);
}

/** Pure. @param info as Redis tells it */
export function assessServer(info: string): readonly QueueRemark[] {
  const remarks: QueueRemark[] = [];
  const warning = evictionWarning(info, LOST_BY_EVICTION);
  if (warning !== undefined) remarks.push({ check: 'queue.settings', ...warning });
  if (infoValue(info, 'aof_enabled') === '0')
    remarks.push({
      check: 'queue.durability',
      what: 'Redis writes no append-only file: what lies in its streams is lost when it restarts.',
      advice: 'Set appendonly yes, or be ready to replay from the outbox.',
    });
  return remarks;
}
