/**
 * The judge of the soak is shown good histories and broken ones: it says nothing of the first, and what is wrong with the others.
 */
import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import type { Effect, Run } from '../../demo/audit/books.ts';
import { growing } from './judge/flat.ts';
import { missingIn, sizeOf, topOf, withNumber, type Intervals } from './judge/intervals.ts';
import { judgeOrder, type OrderStory } from './judge/orders.ts';
import {
  ghostsIn,
  handledOf,
  isHandledUpTo,
  missingMessages,
  NO_STREAMS,
  takeHandled,
  type StreamsState,
} from './judge/streams.ts';

describe('a set of numbers', () => {
  it('is what a set is, in few intervals', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 80, size: 'max' }), (numbers) => {
        const known = new Set<number>();
        let set: Intervals = [];
        for (const n of numbers) {
          const next = withNumber(set, n);
          expect(next === null).toBe(known.has(n));
          known.add(n);
          set = next ?? set;
        }
        const upTo = Math.max(0, ...numbers);
        expect(sizeOf(set)).toBe(known.size);
        expect(topOf(set)).toBe(upTo);
        const all = Array.from({ length: upTo }, (_, index) => index + 1);
        expect(missingIn(set, upTo, 1_000)).toEqual(all.filter((n) => !known.has(n)));
        for (const [index, [from]] of set.entries()) expect(from).toBeGreaterThan((set[index - 1]?.[1] ?? -1) + 1);
      }),
    );
  });
});

describe('the streams of the flood', () => {
  const isOrdered = (stream: string): boolean => stream === 'ordered';
  const take = (stream: string, ...numbers: readonly number[]): StreamsState =>
    takeHandled(
      NO_STREAMS,
      numbers.map((n) => ({ stream, n })),
      isOrdered,
    );

  it('are right when each number came once, in its order where that was asked for', () => {
    expect(take('ordered', 1, 2, 3)).toMatchObject({ twice: 0, outOfOrder: 0, wrong: [] });
    const loose = take('loose', 2, 1, 4, 3);
    expect(loose).toMatchObject({ twice: 0, outOfOrder: 0, wrong: [] });
    expect(handledOf(loose)).toBe(4);
    expect(missingMessages(loose, new Map([['loose', 4]]))).toEqual({
      count: 0,
      ofStream: new Map(),
      sentences: [],
    });
    expect(ghostsIn(loose, new Map([['loose', 4]]))).toEqual([]);
    expect(isHandledUpTo(loose, new Map([['loose', 4]]))).toBe(true);
  });

  it('tell of a message that was handled twice, at once', () => {
    expect(take('loose', 1, 2, 1)).toMatchObject({ twice: 1, wrong: ['loose: message 1 was handled twice'] });
    // Long after: what was seen is not forgotten.
    const later = takeHandled(take('ordered', 1, 2, 3, 4), [{ stream: 'ordered', n: 2 }], isOrdered);
    expect(later).toMatchObject({ twice: 1, outOfOrder: 0 });
  });

  it('tell of order that is not kept, at once', () => {
    expect(take('ordered', 1, 3)).toMatchObject({
      outOfOrder: 1,
      wrong: ['ordered: message 3 was handled after message 1'],
    });
  });

  it('tell of lost messages, in the middle and at the end', () => {
    expect(missingMessages(take('loose', 1, 2, 4), new Map([['loose', 5]]))).toEqual({
      count: 2,
      ofStream: new Map([['loose', 2]]),
      sentences: ['loose: message 3 of 5 was not handled', 'loose: message 5 of 5 was not handled'],
    });
    expect(missingMessages(NO_STREAMS, new Map([['loose', 2]])).count).toBe(2);
    const gap = take('loose', 1, 2, 4);
    expect(isHandledUpTo(gap, new Map([['loose', 2]]))).toBe(true);
    expect(isHandledUpTo(gap, new Map([['loose', 4]]))).toBe(false);
    expect(isHandledUpTo(NO_STREAMS, new Map([['loose', 0]]))).toBe(true);
    expect(isHandledUpTo(NO_STREAMS, new Map([['loose', 1]]))).toBe(false);
  });

  it('tell of a message whose transaction was rolled back', () => {
    expect(ghostsIn(take('loose', 1, 2), new Map([['loose', 1]]))).toEqual([
      'loose: message 2 was handled, and 1 have been sent',
    ]);
  });
});

describe('an order whose run has ended', () => {
  const effect = (service: Effect['service'], name: string, call = name): Effect => ({
    service,
    effect: name,
    call,
    messageId: `message-${name}`,
    orderId: 'order-1',
    runId: 'run-1',
  });
  const charge = effect('payment', 'charge');
  const reserve = effect('stock', 'reserve');
  const refund = effect('payment', 'refund', 'charge');
  const release = effect('stock', 'release', 'reserve');
  const called = (call: string) => ({ t: 'called', call }) as unknown as Run['events'][number];
  const compensating = (call: string) => ({ t: 'compensating', call, round: 1 }) as unknown as Run['events'][number];
  const forward = [called('accept'), called('charge'), called('reserve')];

  function story(status: 'completed' | 'compensated', changes: Partial<OrderStory> = {}): OrderStory {
    const end = status === 'completed' ? 'confirmed' : 'rejected';
    return {
      order: { id: 'order-1', runId: 'run-1', status: end, quantity: 1, amount: 500 },
      run: {
        id: 'run-1',
        status,
        startedAt: 0,
        finishedAt: 1,
        events:
          status === 'completed'
            ? [...forward, called('ship'), called('confirm')]
            : [...forward, ...['reserve', 'charge', 'accept'].map(compensating)],
      },
      effects:
        status === 'completed' ? [charge, reserve, effect('shipping', 'ship')] : [charge, reserve, release, refund],
      heard: ['accepted', end].map((news) => ({ messageId: `message-${news}`, orderId: 'order-1', status: news })),
      ...changes,
    };
  }

  it.each(['completed', 'compensated'] as const)('is right when it is %s and all is there', (status) => {
    expect(judgeOrder(story(status))).toEqual({ wrong: [], missing: [] });
  });

  it('is right when it was cancelled before anything of it began', () => {
    const run = { ...story('compensated').run, events: [] };
    expect(judgeOrder(story('compensated', { run, effects: [], heard: [] }))).toEqual({ wrong: [], missing: [] });
  });

  it('is wrong with an effect that is there twice', () => {
    const effects = [...story('completed').effects, charge];
    expect(judgeOrder(story('completed', { effects })).wrong).toEqual([
      'order-1 (completed): an effect is there twice',
    ]);
  });

  it('is wrong when it was not compensated backwards', () => {
    const run = { ...story('compensated').run, events: [...forward, compensating('charge'), compensating('reserve')] };
    expect(judgeOrder(story('compensated', { run })).wrong).toHaveLength(1);
  });

  it('is wrong when news were heard in another order', () => {
    const heard = story('completed').heard.toReversed();
    expect(judgeOrder(story('completed', { heard })).wrong).toEqual([
      'order-1 (completed): what was heard of it is confirmed, accepted',
    ]);
  });

  it.each([
    ['an effect', { effects: [charge, reserve] }],
    ['news', { heard: story('completed').heard.slice(0, 1) }],
    ['its end', { order: { ...story('completed').order, status: 'accepted' } }],
  ] as const)('lacks %s, which may still come', (_what, changes) => {
    const verdict = judgeOrder(story('completed', changes));
    expect(verdict.wrong).toEqual([]);
    expect(verdict.missing).toHaveLength(1);
  });

  it('lacks a compensation', () => {
    expect(judgeOrder(story('compensated', { effects: [charge, reserve, release] })).missing).toEqual([
      'order-1 (compensated): its effects are charge of charge, reserve of reserve, release of reserve',
    ]);
  });
});

describe('growth', () => {
  const series = (values: readonly number[]) => [{ name: 'databases', values, slack: 10 }];
  const of = (count: number, value: (index: number) => number): readonly number[] =>
    Array.from({ length: count }, (_, index) => value(index));

  it('is not what fills up first and stays then, with peaks', () => {
    expect(growing(series(of(60, (index) => Math.min(200, 10 * index) + (index % 9 === 0 ? 150 : 0))))).toEqual([]);
  });

  it('is what goes on for ever', () => {
    expect(growing(series(of(60, (index) => 100 + 2 * index)))).toEqual([
      { name: 'databases', before: 159, after: 199 },
    ]);
  });

  it('is not what is small, and not told of few samples', () => {
    expect(growing(series(of(60, (index) => 5 + index / 10)))).toEqual([]);
    expect(growing(series(of(9, (index) => 100 * index)))).toEqual([]);
  });
});
