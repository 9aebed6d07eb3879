/** What is said of several databases together, out of what each said last. */
import { expect, it } from 'vitest';
import { attentionOfAll, lineOf, type Heard } from '../../src/dashboard/page/app/all-now.ts';
import { overview } from './sample-overview.ts';

const OVERVIEW = overview();
const NOW = 1_000_000;
const waiting = { nowMs: NOW, waitedMs: 60_000 };
const failure = { code: 'HF_DATABASE_UNAVAILABLE', message: 'The database cannot be reached.', advice: null };
const well = { ...OVERVIEW, relay: { ...OVERVIEW.relay, subscriptions: [], consumers: [] }, sagas: null, alerts: null };
const said = (database: string, answer: typeof OVERVIEW | null, heardAt = NOW): NonNullable<Heard> => ({
  database,
  answer,
  failure: answer === null ? failure : null,
  heardAt,
});

it('a database is well, in need of somebody, silent, or not heard of yet', () => {
  const wordOf = (heard: Heard, waitedMs = 60_000) => lineOf('orders', heard, { nowMs: NOW, waitedMs });
  expect(wordOf(said('orders', well))).toMatchObject({ tone: 'ok', word: 'well', flow: { parked: 0 } });
  expect(wordOf(said('orders', OVERVIEW))).toMatchObject({ tone: 'bad', word: expect.stringMatching(/^\d+ things$/) });
  expect(wordOf(said('orders', null))).toMatchObject({ tone: 'bad', word: 'does not answer', flow: null });
  expect(wordOf(null, 1_000)).toMatchObject({ tone: 'wait', word: 'asking' });
  expect(wordOf(null)).toMatchObject({ tone: 'bad', word: 'does not answer' });
  // What was heard is old: it is shown, and not called well.
  expect(wordOf(said('orders', well, NOW - 80_000))).toMatchObject({
    tone: 'warn',
    word: expect.stringMatching(/^silent for \d/),
  });
});

it('what needs a person is told with its database, the worst of all first', () => {
  const heard = new Map([
    ['orders', said('orders', OVERVIEW)],
    ['payments', said('payments', null)],
    ['stock', said('stock', well)],
  ]);
  const items = attentionOfAll(['orders', 'payments', 'stock', 'shipping'], heard, waiting);
  expect(items.filter(({ database }) => database === 'payments')).toEqual([
    expect.objectContaining({ tone: 'bad', what: 'The database does not answer', why: failure.message }),
  ]);
  expect(items.filter(({ database }) => database === 'shipping')).toMatchObject([
    { why: 'Nothing has been heard of it.' },
  ]);
  expect(items.some(({ database }) => database === 'orders')).toBe(true);
  expect(items.some(({ database }) => database === 'stock')).toBe(false);
  const tones = items.map(({ tone }) => tone);
  expect(tones).toEqual(tones.toSorted());
});
