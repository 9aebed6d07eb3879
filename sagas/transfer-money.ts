/**
 * Money from an account here to an account at another bank: withdrawn in our own database, deposited by a message.
 *
 * Shows: transaction steps (effect and record in one commit, so exactly once), a pivot, and a sum that is the same at the end.
 *
 * - At every moment the money is in one account, in the other, or on its way: `transfer.state` says which. `sum(balance)` here, plus
 *   what is on its way, plus what the other bank has got, never changes.
 * - A deposit that is refused (no such account) puts it back. One that is not answered is asked for again until it is: to put the
 *   money back then might double it.
 */
import { z } from 'zod';
// In a service of your own these come from 'holdfast'.
import { command, Rejection, saga, transaction } from '../src/index.ts';
import { DepositMoney, MoneyDeposited } from './messages/transfer.ts';

/** Tables of the bank that sends; the worker runs in its database. */
export const TRANSFER_TABLES = `
  CREATE TABLE account (id text PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));
  CREATE TABLE transfer (
    id text PRIMARY KEY, account text NOT NULL REFERENCES account, amount bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('on its way', 'done', 'returned')));`;

const Transfer = z.object({ transferId: z.string(), from: z.string(), to: z.string(), amount: z.int().positive() });
type Transfer = z.infer<typeof Transfer>;

export const transferMoney = saga({
  name: 'transfer-money',
  input: Transfer,
  steps: {
    withdraw: transaction({
      run: async ({ transferId, from, amount }: Transfer, { tx }) => {
        const taken = await tx.query('UPDATE account SET balance = balance - $2 WHERE id = $1 AND balance >= $2', [
          from,
          amount,
        ]);
        if (taken.rowCount !== 1) throw new Rejection('not enough money');
        await tx.query(`INSERT INTO transfer (id, account, amount, state) VALUES ($1, $2, $3, 'on its way')`, [
          transferId,
          from,
          amount,
        ]);
      },
      compensate: async ({ input }, { tx }) => {
        await tx.query(`UPDATE transfer SET state = 'returned' WHERE id = $1`, [input.transferId]);
        await tx.query('UPDATE account SET balance = balance + $2 WHERE id = $1', [input.from, input.amount]);
      },
    }),
    deposit: command(DepositMoney, {
      reply: MoneyDeposited,
      pivot: true,
      timeout: '30s',
      retry: { attempts: Infinity, base: '1s', cap: '10m', within: '7d' },
    }),
    settle: transaction({
      run: async (transferId: string, { tx }) => {
        await tx.query(`UPDATE transfer SET state = 'done' WHERE id = $1`, [transferId]);
      },
    }),
  },
  async run({ input, steps }) {
    const { transferId, to, amount } = input;
    await steps.withdraw(input);
    const { entryId } = await steps.deposit({ transferId, account: to, amount });
    await steps.settle(transferId);
    return { entryId };
  },
});
