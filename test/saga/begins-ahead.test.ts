/** Which attempts begin before it is recorded that they were called: a transaction's first, when nothing else stands beside it. */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { beginsAhead } from '../../src/saga/decide/begin-ahead.ts';
import { collectCalls } from '../../src/saga/decide/calls.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import type { NewCall } from '../../src/saga/kinds/kind.ts';
import type { Run } from '../../src/saga/run/run.ts';
import { asks, attempt, call, commit, context, failedWith, runOf, take, tell } from './run-recorder.ts';

const shop = saga({
  name: 'shop',
  input: z.object({}),
  signals: { word: z.string() },
  steps: {
    book: transaction({ run: async () => 'booked', retry: { attempts: 5, base: 1 } }),
    pay: transaction({ run: async () => 'paid', pivot: true }),
    charge: step({ run: () => 'charged' }),
  },
  async run() {},
});

/** A run whose start is durable, and that has just called these. */
async function calling(...calls: readonly NewCall[]): Promise<Run> {
  const run = runOf(shop);
  commit(run);
  await collectCalls(run, calls, context(2_000));
  return run;
}
const book = asks('transaction', 'book');

describe('an attempt', () => {
  it('of a transaction step that was called just now begins', async () => {
    expect(beginsAhead(await calling(book))).toBe(true);
  });

  it.each<[string, readonly NewCall[]]>([
    ['of a step, which may have happened without a commit', [asks('step', 'charge')]],
    ['of a pivot, which no cancellation is to pass', [asks('transaction', 'pay')]],
    ['beside another one', [book, asks('transaction', 'book', { id: 'book:2' })]],
    ['beside a step', [asks('step', 'charge'), book]],
  ])('%s does not', async (_, calls) => {
    expect(beginsAhead(await calling(...calls))).toBe(false);
  });

  it.each<[string, (run: Run) => unknown]>([
    ['when the start of the run is not recorded', () => undefined],
    ['of a run that was lost with a worker', (run) => (commit(run), (run.lost = 1))],
    ['beside what is under way', (run) => (commit(run), run.inFlight.set('charge', () => {}))],
    ['of a run whose memory no longer fits', (run) => (commit(run), (run.stale = true))],
    ['of a run that is handed back', (run) => (commit(run), (run.handedBack = 'code'))],
  ])('%s does not', async (_, make) => {
    const run = runOf(shop);
    make(run);
    await collectCalls(run, [book], context(2_000));
    expect(beginsAhead(run)).toBe(false);
  });

  it('with more to record than its call does not', async () => {
    const run = await calling(book);
    await tell(run, { kind: 'signal', name: 'word', payload: 'hello' }, 2_001);
    expect(beginsAhead(run)).toBe(false);
  });

  it('that is the second one of its call does not', async () => {
    const run = runOf(shop);
    const first = await call(run, 'transaction', 'book');
    await take(run, attempt(first, failedWith({ doubt: false })), 2_000);
    commit(run);
    run.intents = [{ kind: 'attempt', call: first }];
    expect(beginsAhead(run)).toBe(false);
  });
});
