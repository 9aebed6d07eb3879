/**
 * Opens clients of ioredis that neither give up for good nor crash the process. How they wait and retry is for the transport to say,
 * whatever the options were that they were described by.
 */
import { Redis, type RedisOptions } from 'ioredis';
import { makeEndable } from './redis-end.ts';
import type { SinglePlace } from './redis-place.ts';

const RECONNECT_CAP_MS = 1000;

const SENTINEL_WAIT_MS = 1000;

/** What differs between publishers and receivers. */
export type OwnOptions = Pick<
  RedisOptions,
  'enableOfflineQueue' | 'maxRetriesPerRequest' | 'autoResendUnfulfilledCommands' | 'Connector' | 'reconnectOnError'
>;

/** Nothing is sent again by the client, and nothing kept to be sent later: whoever asked decides. */
export const DIRECT_COMMANDS = {
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
} as const satisfies OwnOptions;

/** How long a client waits before it tries to connect again, in milliseconds. */
export function reconnectDelayMs(times: number): number {
  return Math.min(times * 50, RECONNECT_CAP_MS);
}

/** Up to Redis 6 the answer to a script has READONLY in its midst. */
export function isFromReplica(error: Error): boolean {
  return /\bREADONLY\b/.test(error.message);
}

/** @param timeoutMs for a connection */
export function openClient(place: Pick<SinglePlace, 'url' | 'options'>, timeoutMs: number, own: OwnOptions): Redis {
  const options = {
    ...place.options,
    lazyConnect: false,
    connectTimeout: timeoutMs,
    // A sentinel that takes connections and says nothing would be waited for without end; and there are others to be asked.
    sentinelCommandTimeout: Math.min(SENTINEL_WAIT_MS, timeoutMs / 3),
    // A client that gives up for good would leave its publisher or worker dead until a restart.
    retryStrategy: reconnectDelayMs,
    // After a failover the old primary is a replica: connecting again finds the new one.
    reconnectOnError: isFromReplica,
    // The shapes of answers that BullMQ's scripts and ours read.
    replyMapping: 'legacy' as const,
    ...own,
  };
  const client = place.url === undefined ? new Redis(options) : new Redis(place.url, options);
  // An 'error' event without a listener would end the process. The failure also reaches whoever waits for the command.
  client.on('error', () => {});
  makeEndable(client);
  return client;
}
