/** What a bank says to the other one. Declared once, for the saga that sends it and the bank that handles it. */
import { z } from 'zod';
import { message } from '../../src/index.ts';

/** Amounts are in cents. */
export const DepositMoney = message('account.deposit', {
  schema: z.object({ transferId: z.string(), account: z.string(), amount: z.int().positive() }),
  key: ({ account }) => account,
});
export const MoneyDeposited = message('account.deposited', { schema: z.object({ entryId: z.string() }) });
