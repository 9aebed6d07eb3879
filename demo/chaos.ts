/**
 * What goes wrong on purpose, besides the failing handlers of the services: processes are killed, and messages delivered twice.
 */
import { randomUUID } from 'node:crypto';
import type { Transport } from '../src/index.ts';
import type { ServiceName } from './world.ts';

export type ProcessName = ServiceName | 'relay';

/** Who gets a SIGKILL, and when: after this part of the orders has come to its end. */
export const KILLS: readonly { readonly victim: ProcessName; readonly at: number }[] = [
  { victim: 'relay', at: 0.15 },
  { victim: 'payment', at: 0.3 },
  { victim: 'shipping', at: 0.45 },
  { victim: 'relay', at: 0.55 },
  { victim: 'payment', at: 0.7 },
];

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
