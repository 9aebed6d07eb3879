/**
 * What the tests of Redis Streams share.
 */
import { Redis } from 'ioredis';
import { onTestFinished } from 'vitest';
import type { RedisStreamsTransportOptions } from '../../../src/transport/redis-streams/options.ts';
import { createRedisStreamsTransport } from '../../../src/transport/redis-streams/redis-streams-transport.ts';
import type { Receiver, Transport } from '../../../src/transport/port.ts';

/** Claims that run out soon, so that a test need not wait long for what a dead consumer held. */
export const SHORT = { lockDuration: 400, stalledInterval: 150 } as const;

/** Closed hard after the test. */
export function makeStreams(options: RedisStreamsTransportOptions): Transport {
  const transport = createRedisStreamsTransport({ ...SHORT, ...options });
  const receivers: Receiver[] = [];
  onTestFinished(async () => {
    await Promise.all(receivers.map((receiver) => receiver.stop({ signal: AbortSignal.abort() })));
    await transport.close();
  });
  return {
    ...transport,
    receiver(...args) {
      const receiver = transport.receiver(...args);
      receivers.push(receiver);
      return receiver;
    },
  };
}

/** A client of the test's own, closed after it. */
export function adminOf(url: string): Redis {
  const admin = new Redis(url);
  onTestFinished(() => admin.disconnect());
  return admin;
}

/** The stream of a partition under the default prefix. */
export function streamOf(destination: string, partition = 0): string {
  return `holdfast-streams:{${destination}#${partition}}`;
}
