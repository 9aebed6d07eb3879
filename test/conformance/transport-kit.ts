/**
 * What tests of transports are made of: destinations, messages, a handler that remembers.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { isHoldfastError } from '../../src/errors.ts';
import type { Delivery, OutboundMessage, Publisher, Receiver, Transport, Verdict } from '../../src/transport/port.ts';

export const NEVER = new AbortController().signal;
export const DONE: Verdict = { kind: 'done' };

export interface TransportHarness {
  /** A transport on the working broker; all of them share it. Claims run out within a second or so. `queues` asks for partitions. */
  make(options?: { readonly queues?: Record<string, { partitions: number }> }): Transport;
  /** A transport whose broker is not there. */
  unreachable(): Transport;
  /** A transport whose broker accepts everything and answers nothing. */
  hanging(): Transport;
  /** A transport on the working broker, and a message that its broker refuses for good when given this one. */
  refusing(): { readonly transport: Transport; readonly spoil: (message: OutboundMessage) => OutboundMessage };
  /** Puts a text that is no JSON where the destination's messages lie, as a foreign writer may. `publisher` may be used for it. */
  plant(destination: string, text: string, publisher: Publisher): Promise<void>;
  dispose(): Promise<void>;
}

export type Receive = (
  transport: Transport,
  destination: string,
  handle: (delivery: Delivery) => Promise<Verdict>,
  options?: { concurrency?: number; ordered?: boolean },
) => Promise<Receiver>;

let serial = 0;
/** A destination nobody else uses. */
export function destinationName(): string {
  serial += 1;
  return `dest-${serial}-${randomUUID().slice(0, 8)}`;
}

export function outbound(destination: string, n: number, rest: Partial<OutboundMessage> = {}): OutboundMessage {
  const id = rest.id ?? randomUUID();
  const key = rest.key ?? null;
  const wire = JSON.stringify({
    specversion: '1.0',
    id,
    type: 'test.happened',
    source: 'test',
    ...(key === null ? {} : { subject: key }),
    data: { n, text: 'grüße "\\ \u2028' },
  });
  return { id, topic: 'test.happened', key, destination, wire, replayId: null, ...rest };
}

export interface Seen {
  readonly n: number;
  readonly key: string | null;
  readonly wire: unknown;
  readonly delivery: Delivery;
}

export const numbers = (seen: readonly Seen[]): number[] => seen.map(({ n }) => n);

/** A handler that remembers what it saw, and lets a test wait for it. */
export function recorder(decide: (seen: Seen, all: readonly Seen[]) => Verdict | Promise<Verdict> = () => DONE): {
  readonly seen: readonly Seen[];
  readonly handle: (delivery: Delivery) => Promise<Verdict>;
  until(condition: (seen: readonly Seen[]) => boolean): Promise<void>;
} {
  const seen: Seen[] = [];
  const waiting = new Set<() => void>();
  return {
    seen,
    async handle(delivery) {
      const wire = parsed(delivery.wire) as { data?: { n: number }; subject?: string };
      const one: Seen = { n: wire.data?.n ?? -1, key: wire.subject ?? null, wire, delivery };
      seen.push(one);
      waiting.forEach((check) => check());
      try {
        return await decide(one, seen);
      } finally {
        waiting.forEach((check) => check());
      }
    },
    until: (condition) =>
      new Promise((resolve) => {
        const check = (): void => {
          if (!condition(seen)) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
  };
}

/** As it is, when it is no JSON. */
export function parsed(wire: unknown): unknown {
  if (typeof wire !== 'string') return wire;
  try {
    return JSON.parse(wire);
  } catch {
    return wire;
  }
}

/** Publishes until the broker takes it, which may then have it twice. */
export async function publishAtLast(publisher: Publisher, batch: readonly OutboundMessage[]): Promise<void> {
  for (;;) {
    try {
      await publisher.publish(batch, { signal: NEVER });
      return;
    } catch (error) {
      if (!isHoldfastError(error, 'HF_TRANSPORT_UNAVAILABLE')) throw error;
    }
  }
}

/** The error that `work` rejects with. */
export async function rejection(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error('expected a rejection');
}

/** A TCP server that accepts and never answers. `connected` resolves with the first connection. */
export async function silentServer(): Promise<{
  readonly port: number;
  readonly connected: Promise<unknown>;
  close(): Promise<void>;
}> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  const connected = once(server, 'connection');
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    connected,
    close: () => {
      sockets.forEach((socket) => socket.destroy());
      return new Promise((resolve) => void server.close(() => resolve()));
    },
  };
}
