/** The expense in memory: a month passes in milliseconds. */
import { beforeEach, describe, expect, it } from 'vitest';
import { everyCrashPoint, testSagas, type CrashTry } from '../../src/testing/index.ts';
import { approveExpense } from '../../sagas/approve-expense.ts';

const expense = { id: 'e-1', employee: 'ada', approver: 'eva', amount: 90 };

/** What the database and the mail server have got. */
let row = { state: 'none', paid: 0 };
const mails = new Map<string, string>();
const prepare = (): void => {
  row = { state: 'none', paid: 0 };
  mails.clear();
};
beforeEach(prepare);

const saga = approveExpense({
  send: async ({ to, subject }, { idempotencyKey }) => void mails.set(idempotencyKey, `${to}: ${subject}`),
});
type Row = typeof row;
const office = {
  transaction: (): Row => ({ ...row }),
  endTransaction: (tx: Row, outcome: 'commit' | 'rollback') => void (outcome === 'commit' && (row = tx)),
  steps: {
    submit: (_: unknown, { tx }: { tx: Row }) => void (tx.state = 'submitted'),
    decline: (_: unknown, { tx }: { tx: Row }) => void (tx.state = 'declined'),
    pay({ amount }: { amount: number }, { tx }: { tx: Row }) {
      tx.state = 'paid';
      tx.paid += amount;
    },
  },
  compensations: { submit: (_: unknown, { tx }: { tx: Row }) => void (tx.state = 'lapsed') },
};
const testOffice = () => testSagas({ sagas: [saga], ...office });

describe('an expense', () => {
  it('is paid after a yes', async () => {
    const test = testOffice();
    const run = await test.start(saga, expense);
    await test.advance('1d');
    await run.signal('decision', { approved: true, by: 'eva' });
    expect(await run.result()).toEqual({ result: 'paid', by: 'eva' });
    expect(row).toEqual({ state: 'paid', paid: 90 });
    expect([...mails.values()]).toEqual(['eva: Please approve expense e-1', 'ada: Expense e-1 is paid']);
  });

  it('is declined after a no, and cannot be cancelled after that', async () => {
    const test = testOffice();
    const run = await test.start(saga, expense);
    await run.signal('decision', { approved: false, by: 'eva' });
    expect([await run.result(), row.state]).toEqual([{ result: 'declined', by: 'eva' }, 'declined']);
    await expect(run.cancel()).rejects.toMatchObject({ code: 'HF_SAGA_FINISHED' });
  });

  it('is reminded of every three days, five times, and lapses after thirty', async () => {
    const test = testOffice();
    const run = await test.start(saga, expense);
    await test.advance('7d');
    expect(mails.size).toBe(3);
    await test.advance('22d');
    expect([mails.size, (await run.status()).status]).toEqual([6, 'waiting']);
    await test.advance('1d');
    expect(await run.status()).toMatchObject({ status: 'compensated', reason: 'timed out' });
    expect(row).toEqual({ state: 'lapsed', paid: 0 });
  });

  it.each(['1d', '4d', '20d'] as const)('can be cancelled after %s', async (after) => {
    const test = testOffice();
    const run = await test.start(saga, expense);
    await test.advance(after);
    await run.cancel();
    expect([(await run.status()).reason, row.state]).toEqual(['cancelled', 'lapsed']);
  });

  it('is paid although no mail goes out', async () => {
    const test = testOffice();
    // Five attempts each for the request and for the news of the payout; then they are let go.
    test.failStep('mail', new Error('mail server away'), { times: 12 });
    const run = await test.start(saga, expense);
    await test.advance('1h');
    await run.signal('decision', { approved: true, by: 'eva' });
    expect(row.paid).toBe(90);
    await test.finish();
    expect([(await run.status()).status, mails.size]).toEqual(['completed', 0]);
  });
});

describe('an expense whose worker dies, wherever that is', () => {
  const once = ({ status }: CrashTry): void =>
    expect(row).toEqual(status === 'completed' ? { state: 'paid', paid: 90 } : { state: 'lapsed', paid: 0 });

  it('is paid once', async () => {
    const report = await everyCrashPoint(saga, expense, once, {
      ...office,
      prepare,
      secondCrash: 20,
      async drive(test, run) {
        await test.advance('4d');
        await run.signal('decision', { approved: true, by: 'eva' });
      },
    });
    expect(report.statuses).toEqual({ completed: report.tries });
  });

  it('lapses', async () => {
    const report = await everyCrashPoint(saga, expense, once, { ...office, prepare });
    expect(report.statuses).toEqual({ compensated: report.tries });
  });
});
