/** A consumer in the transactions of a client: it writes the order, sends a message after it, and does as it is told. */
import { createConsumer, type Consumer } from '../../src/inbox/consumer.ts';
import type { Outbox } from '../../src/outbox/outbox.ts';
import type { TransactionHandle } from '../../src/postgres/executor.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { Placed } from '../inbox/lab.ts';
import type { FlowClient } from './booking-flow.ts';

interface Told<Tx> {
  /** `runs`: of the handler, this one included. */
  readonly act?: (tx: Tx, runs: number) => Promise<unknown>;
  /** The crash point at which it dies. */
  readonly dies?: { at: string | null };
  readonly attempts?: number;
}

export function shippingConsumer<Tx extends TransactionHandle>(
  client: FlowClient<Tx>,
  outbox: Outbox,
  { act = async () => {}, dies = { at: null }, attempts = 3 }: Told<Tx>,
): Consumer {
  let runs = 0;
  return createConsumer('shipping', {
    runner: client.runner,
    transport: createMemoryTransport(),
    random: () => 0,
    redeliveryHorizon: '1d',
    retry: { attempts },
    outbox,
    crashPoint(point) {
      if (point === dies.at) throw new Error('killed');
    },
    handlers: (on) => [
      on(Placed, async ({ orderId }, { tx, send }) => {
        await client.write(tx, orderId);
        await send(Placed, { orderId: `after ${orderId}`, n: 1 });
        runs += 1;
        await act(tx, runs);
      }),
    ],
  });
}
