/** The transfer in memory: our accounts with transactions, the other bank scripted. The sum of all money never changes. */
import { beforeEach, describe, expect, it } from 'vitest';
import { Rejection } from '../../src/index.ts';
import { everyCrashPoint, respond, silence, testSagas, type CrashTry } from '../../src/testing/index.ts';
import { DepositMoney } from '../../sagas/messages/transfer.ts';
import { transferMoney } from '../../sagas/transfer-money.ts';

const transfer = { transferId: 't-1', from: 'ada', to: 'bob', amount: 30 };

/** Our bank, what is on its way, and the other bank. */
let ours = { ada: 100, state: 'none' };
let theirs = 0;
const prepare = (): void => {
  ours = { ada: 100, state: 'none' };
  theirs = 0;
};
beforeEach(prepare);

/** A database of one row: a transaction changes a copy, which replaces it when it commits. */
type Bank = typeof ours;
const bank = {
  transaction: (): Bank => ({ ...ours }),
  endTransaction: (tx: Bank, outcome: 'commit' | 'rollback') => void (outcome === 'commit' && (ours = tx)),
  steps: {
    withdraw({ amount }: { amount: number }, { tx }: { tx: Bank }) {
      if (tx.ada < amount) throw new Rejection('not enough money');
      tx.ada -= amount;
      tx.state = 'on its way';
    },
    settle: (_: string, { tx }: { tx: Bank }) => void (tx.state = 'done'),
  },
  compensations: {
    withdraw({ input }: { input: { amount: number } }, { tx }: { tx: Bank }) {
      tx.ada += input.amount;
      tx.state = 'returned';
    },
  },
};
const deposit = respond(DepositMoney, ({ amount }) => {
  theirs += amount;
  return { entryId: 'e-1' };
});
const banks = (...other: (typeof deposit)[]) =>
  testSagas({ sagas: [transferMoney], participants: [deposit, ...other], ...bank });

describe('a transfer', () => {
  it('arrives', async () => {
    const run = await banks().start(transferMoney, transfer);
    expect(await run.result()).toEqual({ entryId: 'e-1' });
    expect([ours, theirs]).toEqual([{ ada: 70, state: 'done' }, 30]);
  });

  it('of more than there is is refused, and nothing has happened', async () => {
    const test = banks();
    const run = await test.start(transferMoney, { ...transfer, amount: 130 });
    await expect(run.result()).rejects.toMatchObject({ cause: { details: { reason: 'not enough money' } } });
    expect([ours, test.messages]).toEqual([{ ada: 100, state: 'none' }, []]);
  });

  it('to an account that is not there comes back', async () => {
    const test = banks();
    test.failStep('deposit', new Rejection('no such account'));
    await test.start(transferMoney, transfer);
    expect([ours, theirs, test.story]).toEqual([
      { ada: 100, state: 'returned' },
      0,
      ['withdraw', 'compensate withdraw'],
    ]);
  });

  it('is asked for until the other bank answers, and is not cancelled meanwhile', async () => {
    const test = banks(
      respond(DepositMoney, ({ amount }, { attempt }) =>
        attempt < 4 ? silence() : ((theirs += amount), { entryId: 'e-1' }),
      ),
    );
    const run = await test.start(transferMoney, transfer);
    await run.cancel();
    expect([ours.ada, ours.state, theirs]).toEqual([70, 'on its way', 0]);
    await test.finish();
    expect([await run.result(), ours.state, theirs]).toEqual([{ entryId: 'e-1' }, 'done', 30]);
  });

  it('is withdrawn once, however often the database fails', async () => {
    const test = banks();
    test.failStep('withdraw', new Error('deadlock detected'), { times: 2, after: true });
    const run = await test.start(transferMoney, transfer);
    await test.finish();
    expect([(await run.status()).status, ours.ada]).toEqual(['completed', 70]);
  });
});

describe('a transfer whose worker dies, wherever that is', () => {
  const conserved = ({ status }: CrashTry): void =>
    expect([ours.ada, theirs]).toEqual(status === 'completed' ? [70, 30] : [100, 0]);
  const options = { participants: [deposit], ...bank, prepare, secondCrash: 30 };

  it('arrives', async () => {
    const report = await everyCrashPoint(transferMoney, transfer, conserved, options);
    expect(report.statuses).toEqual({ completed: report.tries });
  });

  it('comes back when it is refused', async () => {
    const refused = { ...options, failStep: { deposit: new Rejection('no such account') } };
    const report = await everyCrashPoint(transferMoney, transfer, conserved, refused);
    expect(report.statuses).toEqual({ compensated: report.tries });
  });
});
