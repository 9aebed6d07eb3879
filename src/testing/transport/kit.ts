/**
 * What tests of transports are made of: destinations, messages, a handler that remembers.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { isHoldfastError } from '../../errors.ts';
import type { Delivery, OutboundMessage, Publisher, Receiver, Transport, Verdict } from '../../transport/port.ts';

export const NEVER: AbortSignal = new AbortController().signal;
export const ACKNOWLEDGED: Verdict = { kind: 'done' };

/** What the suites need of an adapter to hold it to the duties of a publisher. */
export interface PublisherHarness {
  /**
   * A transport on the working broker; all of them share it. Claims of a consumer that shows no sign of life run out within a second or so.
   * `queues` asks for partitions.
   */
  make(options?: { readonly queues?: Record<string, { partitions: number }> }): Transport;
  /** A transport whose broker is not there. */
  unreachable(): Transport;
  /** A transport whose broker accepts everything and answers nothing. */
  hanging(): Transport;
  /** A transport on the working broker, and a message that its broker refuses for good when given this one. */
  refusing(): { readonly transport: Transport; readonly spoil: (message: OutboundMessage) => OutboundMessage };
  dispose(): Promise<void>;
}

/** What {@link describeTransport} needs of an adapter. */
export interface TransportHarness extends PublisherHarness {
  /** Puts a text that is no JSON where the destination's messages lie, as a foreign writer may. `publisher` may be used for it. */
  plant(destination: string, text: string, publisher: Publisher): Promise<void>;
}

/** What {@link describeSink} needs of an adapter. */
export interface SinkHarness extends PublisherHarness {
  /** Envelopes as they have arrived at a destination, oldest first, in any form that parses to what was published. */
  received(destination: string): Promise<readonly unknown[]>;
  /**
   * A destination nobody else uses.
   *
   * @defaultValue any name will do
   */
  destination?(): string;
}

export type Receive = (
  transport: Transport,
  destination: string,
  handle: (delivery: Delivery) => Promise<Verdict>,
  options?: { concurrency?: number; ordered?: boolean },
) => Promise<Receiver>;

/** What the tests of an adapter share: made by the suite, and disposed of by it after each test. */
export interface TransportDuties {
  readonly harness: () => TransportHarness;
  /** A transport on the working broker, closed after the test. */
  readonly make: TransportHarness['make'];
  /** Closed after the test. */
  readonly kept: (transport: Transport) => Transport;
  /** Made and started, and stopped after the test. */
  readonly receive: Receive;
  /** Stopped after the test. */
  readonly receivers: Receiver[];
}

/** One that does not say otherwise has to. */
export const keepsOrder = ({ abilities }: Transport): boolean => abilities?.orders !== false;

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

export interface SeenDelivery {
  readonly n: number;
  readonly key: string | null;
  readonly wire: unknown;
  readonly delivery: Delivery;
}

export const numbers = (seen: readonly SeenDelivery[]): number[] => seen.map(({ n }) => n);

/** A handler that remembers what it saw, and lets a test wait for it. */
export function recorder(
  decide: (seen: SeenDelivery, all: readonly SeenDelivery[]) => Verdict | Promise<Verdict> = () => ACKNOWLEDGED,
): {
  readonly seen: readonly SeenDelivery[];
  readonly handle: (delivery: Delivery) => Promise<Verdict>;
  until(condition: (seen: readonly SeenDelivery[]) => boolean): Promise<void>;
} {
  const seen: SeenDelivery[] = [];
  const waiting = new Set<() => void>();
  return {
    seen,
    async handle(delivery) {
      const wire = parsed(delivery.wire) as { data?: { n: number }; subject?: string };
      const one: SeenDelivery = { n: wire.data?.n ?? -1, key: wire.subject ?? null, wire, delivery };
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

/** A TCP server that accepts and never answers. `connected` resolves with the first connection, `connections` with so many. */
export async function silentServer(): Promise<{
  readonly port: number;
  readonly connected: Promise<unknown>;
  connections(number: number): Promise<unknown>;
  close(): Promise<void>;
}> {
  const sockets = new Set<Socket>();
  let accepted = 0;
  const server = createServer((socket) => {
    accepted += 1;
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
    connections: async (number) => {
      while (accepted < number) await once(server, 'connection');
    },
    close: () => {
      sockets.forEach((socket) => socket.destroy());
      return new Promise((resolve) => void server.close(() => resolve()));
    },
  };
}
