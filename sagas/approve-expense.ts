/**
 * An expense that somebody must approve: reminded every three days, five times, paid out after a yes, and given up after 30 days.
 *
 * Shows: waiting for a signal with a timeout, a loop with ids of its own, a deadline, and a step that pays exactly once.
 *
 * - Waiting costs nothing: the run is in no process's memory until the signal, the timer or the deadline.
 * - The approver's answer is sent in the transaction that records it:
 *   `sagas.handle(approve, id).signal('decision', { approved: true, by: 'eva' }, { tx })`.
 * - The deadline needs no code here: the run is undone, and undoing `submit` marks the expense as lapsed.
 */
import { z } from 'zod';
// In a service of your own these come from 'holdfast'.
import { saga, step, transaction, type Saga } from '../src/index.ts';

/** Sends mail; a message with a key that was used before is not sent again. */
export interface Mailer {
  send(
    mail: { readonly to: string; readonly subject: string },
    options: { readonly idempotencyKey: string; readonly signal: AbortSignal },
  ): Promise<void>;
}

/** Tables of the service whose database the worker runs in. */
export const EXPENSE_TABLES = `
  CREATE TABLE expense (
    id text PRIMARY KEY, employee text NOT NULL, amount bigint NOT NULL, decided_by text,
    state text NOT NULL CHECK (state IN ('submitted', 'declined', 'paid', 'lapsed')));
  CREATE TABLE payout (expense text PRIMARY KEY REFERENCES expense, employee text NOT NULL, amount bigint NOT NULL);`;

const REMINDERS = 5;

const Expense = z.object({ id: z.string(), employee: z.string(), approver: z.string(), amount: z.int().positive() });
type Expense = z.infer<typeof Expense>;
const Decision = z.object({ approved: z.boolean(), by: z.string() });

export interface Outcome {
  readonly result: 'paid' | 'declined';
  readonly by: string;
}

export function approveExpense(mailer: Mailer): Saga<Expense, Outcome, { readonly decision: typeof Decision }> {
  return saga({
    name: 'approve-expense',
    input: Expense,
    deadline: '30d',
    signals: { decision: Decision },
    steps: {
      submit: transaction({
        run: async ({ id, employee, amount }: Expense, { tx }) => {
          await tx.query(`INSERT INTO expense (id, employee, amount, state) VALUES ($1, $2, $3, 'submitted')`, [
            id,
            employee,
            amount,
          ]);
        },
        compensate: async ({ input }, { tx }) => {
          await tx.query(`UPDATE expense SET state = 'lapsed' WHERE id = $1`, [input.id]);
        },
      }),
      mail: step({
        run: (mail: { readonly to: string; readonly subject: string }, context) => mailer.send(mail, context),
        // A mailer that is down must not cost anybody their money.
        fallback: () => {},
      }),
      decline: transaction({
        run: async ({ id, by }: { readonly id: string; readonly by: string }, { tx }) => {
          await tx.query(`UPDATE expense SET state = 'declined', decided_by = $2 WHERE id = $1`, [id, by]);
        },
        pivot: true,
      }),
      pay: transaction({
        run: async ({ id, employee, amount, by }: Expense & { readonly by: string }, { tx }) => {
          await tx.query(`UPDATE expense SET state = 'paid', decided_by = $2 WHERE id = $1`, [id, by]);
          await tx.query('INSERT INTO payout (expense, employee, amount) VALUES ($1, $2, $3)', [id, employee, amount]);
        },
        pivot: true,
      }),
    },
    async run({ input, steps, waitFor }) {
      const { id, employee, approver } = input;
      await steps.submit(input);
      await steps.mail({ to: approver, subject: `Please approve expense ${id}` }, { id: 'request' });

      let decision = await waitFor('decision', { timeout: '3d' });
      for (let n = 1; decision === null && n <= REMINDERS; n += 1) {
        await steps.mail({ to: approver, subject: `Reminder ${n}: expense ${id}` }, { id: `reminder-${n}` });
        decision = await waitFor('decision', { timeout: '3d' });
      }
      // No further reminder: from here on only the deadline ends the wait.
      decision ??= await waitFor('decision');

      const { approved, by } = decision;
      if (approved) await steps.pay({ ...input, by });
      else await steps.decline({ id, by });
      const result = approved ? ('paid' as const) : ('declined' as const);
      await steps.mail({ to: employee, subject: `Expense ${id} is ${result}` }, { id: 'outcome' });
      return { result, by };
    },
  });
}
