/**
 * What goes wrong on purpose, besides what customers and participants do (world.ts): processes are killed, and messages are delivered
 * twice.
 */
import { randomUUID } from 'node:crypto';
import type { Transport } from '../src/index.ts';
import type { ServiceName } from './world.ts';

export const WORKERS = ['worker-1', 'worker-2'] as const;
/** A fleet has one relay, or some that are numbered. */
export type ProcessName = ServiceName | 'relay' | `relay-${number}` | `worker-${number}`;

export interface Kill {
  readonly victim: ProcessName;
  /** After this part of the orders has come to its end. */
  readonly at: number;
  /** In the middle of a piece of work: all is written, and nothing committed. */
  readonly midWork?: true;
}

/** Who gets a SIGKILL, and when. */
export const KILLS: readonly Kill[] = [
  { victim: 'relay', at: 0.1 },
  { victim: 'worker-1', at: 0.2 },
  { victim: 'payment', at: 0.32, midWork: true },
  { victim: 'orders', at: 0.44 },
  { victim: 'worker-2', at: 0.54 },
  { victim: 'stock', at: 0.64, midWork: true },
  { victim: 'relay', at: 0.74 },
  { victim: 'shipping', at: 0.84, midWork: true },
];

/** Tells a process that its next piece of work is the last. */
export const DIE_AT_WORK = 'die at work';

const COPY_EVERY = 20;

/** The same transport, but every twentieth message is put into its queue once more, behind the newer ones of its batch. */
export function duplicating(transport: Transport, onCopies: (count: number) => void): Transport {
  let published = 0;
  return {
    ...transport,
    publisher() {
      const publisher = transport.publisher();
      return {
        ...publisher,
        async publish(batch, options) {
          const outcomes = await publisher.publish(batch, options);
          // BullMQ takes a job of a known id for the same one, and with a replay id for another.
          const copies = batch
            .filter(() => published++ % COPY_EVERY === 0)
            .map((message) => ({ ...message, replayId: randomUUID() }));
          await publisher.publish(copies, options).then(
            () => onCopies(copies.length),
            () => {},
          );
          return outcomes;
        },
      };
    },
  };
}
