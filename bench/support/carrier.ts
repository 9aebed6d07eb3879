/**
 * What carries messages through a broker in `transports`: a transport of Holdfast's, or its rival, the broker's client used by hand.
 */
import type { OutboundMessage, Transport } from '../../src/transport/port.ts';

export interface Carrier {
  readonly name: string;
  /** Resolves when the broker has acknowledged all of them. */
  publish(batch: readonly OutboundMessage[]): Promise<void>;
  /**
   * Takes from the queue and acknowledges each message, until told to stop. `taken` is called once for each, with its envelope: as text, or
   * parsed where the broker's own client parses it.
   */
  consume(taken: (envelope: unknown) => void): Promise<() => Promise<void>>;
  /** How many are in the broker and not done with. */
  left(): Promise<number>;
  close(): Promise<void>;
}

/** Messages that a consumer may have in hand at once, by hand and by ours. */
export const IN_HAND = 256;

/** A transport, with a handler that does nothing. */
export function ourCarrier(transport: Transport, destination: string): Carrier {
  const publisher = transport.publisher();
  const { signal } = new AbortController();
  return {
    name: 'holdfast',
    async publish(batch) {
      const outcomes = await publisher.publish(batch, { signal });
      if (outcomes.some(({ kind }) => kind !== 'published')) throw new Error('a message was refused');
    },
    async consume(taken) {
      const receiver = transport.receiver(
        destination,
        async ({ wire }) => {
          taken(wire);
          return { kind: 'done' };
        },
        { concurrency: IN_HAND, ordered: false },
      );
      await receiver.start();
      return () => receiver.stop();
    },
    async left() {
      const found = await transport.queues?.({ signal, known: [destination] });
      const state = found?.queues.find((queue) => queue.destination === destination)?.state;
      return state === undefined ? 0 : state.waiting + state.active + state.delayed;
    },
    close: () => transport.close(),
  };
}
