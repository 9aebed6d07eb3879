/**
 * The no-op sink: a transport that takes everything at once and keeps nothing, so that what is measured is the relay alone.
 * Rivals publish into the same one.
 */
import type { OutboundMessage, Publisher, PublishOutcome, Transport } from '../../src/transport/port.ts';

export interface Sink {
  readonly publisher: Publisher;
  readonly transport: Transport;
  readonly count: number;
  /** Resolves once `count` messages have come. */
  reached(count: number): Promise<void>;
}

const PUBLISHED: PublishOutcome = { kind: 'published' };

/** `onBatch` is called as the first thing of every publish. */
export function noopSink(onBatch?: (batch: readonly OutboundMessage[], countBefore: number) => void): Sink {
  let count = 0;
  let waiting: { readonly at: number; readonly resolve: () => void } | undefined;
  const publisher: Publisher = {
    async publish(batch) {
      onBatch?.(batch, count);
      count += batch.length;
      if (waiting !== undefined && count >= waiting.at) waiting.resolve();
      return batch.map(() => PUBLISHED);
    },
    check: async () => {},
    close: async () => {},
  };
  return {
    publisher,
    transport: {
      kind: 'noop',
      publisher: () => publisher,
      receiver() {
        throw new TypeError('the no-op sink has no receivers');
      },
      close: async () => {},
    },
    get count() {
      return count;
    },
    reached(wanted) {
      return new Promise((resolve) => {
        waiting = { at: wanted, resolve };
        if (count >= wanted) resolve();
      });
    },
  };
}
