/** A saga of two transaction steps in the transactions of a client: the first one can be compensated, the second one does as it is told. */
import { z } from 'zod';
import type { Outbox } from '../../src/outbox/outbox.ts';
import type { TransactionHandle } from '../../src/postgres/executor.ts';
import type { Runner } from '../../src/postgres/runner.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { transactionFor } from '../../src/saga/kinds/transaction.ts';
import { Placed } from '../inbox/lab.ts';

/** Of ClientUnderTest. */
export interface FlowClient<Tx> {
  readonly runner: Runner<Tx>;
  write(tx: Tx, what: string): Promise<unknown>;
}

interface Told<Tx> {
  readonly act: (tx: Tx, attempt: number) => Promise<unknown>;
  readonly attempts: number;
}

export function bookingFlow<Tx extends TransactionHandle>(
  client: FlowClient<Tx>,
  outbox: Outbox,
  { act, attempts }: Told<Tx>,
) {
  const inClient = transactionFor<Tx>(client.runner);
  return saga({
    name: 'flow',
    input: z.null(),
    steps: {
      book: inClient({
        retry: { attempts },
        run: async (what: string, { tx }) => {
          await client.write(tx, what);
          await outbox.send(tx, Placed, { orderId: what, n: 1 });
          return { what };
        },
        compensate: async ({ input, outcome }, { tx }) => void (await client.write(tx, `not ${input} ${outcome}`)),
      }),
      last: inClient({
        retry: { attempts },
        run: async (what: string, { tx, attempt }) => {
          await client.write(tx, what);
          await act(tx, attempt);
        },
      }),
    },
    async run({ steps }) {
      const { what } = await steps.book('book');
      await steps.last('last');
      return what;
    },
  });
}
