/** What is decided about acts on many without a database: how fast they go, how many are too many, and what they come back to. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cameBack, MOST_IN_HAND, nextInHand, withInHand } from '../../src/operations/jobs/in-hand.ts';
import { chunkSize, hasGrown, restMs } from '../../src/operations/jobs/job.ts';

describe('the pace of a job', () => {
  it('bounds a chunk by half a second of the rate, and the rest makes up for what was too fast', () => {
    const rate = fc.double({ min: 0.1, max: 10_000, noNaN: true });
    fc.assert(
      fc.property(rate, fc.nat({ max: 5_000 }), (perSecond, tookMs) => {
        const size = chunkSize('parked.retry', perSecond);
        expect(size).toBeGreaterThanOrEqual(1);
        expect(size).toBeLessThanOrEqual(Math.min(100, Math.ceil(perSecond / 2)));
        const wholeMs = tookMs + restMs(size, tookMs, perSecond);
        expect((size * 1_000) / wholeMs).toBeLessThanOrEqual(perSecond * 1.000_001);
      }),
    );
    expect(chunkSize('saga.cancel', null)).toBe(1);
    expect(restMs(100, 5, null)).toBe(0);
  });

  it('takes a selection for grown when it is larger by a tenth and by ten', () => {
    expect([hasGrown(10, 0), hasGrown(11, 0), hasGrown(110, 100), hasGrown(111, 100), hasGrown(3, 100)]).toEqual([
      false,
      true,
      false,
      true,
      false,
    ]);
    expect(hasGrown(1_100, 1_000)).toBe(false);
    expect(hasGrown(1_101, 1_000)).toBe(true);
  });
});

describe('what was in somebody’s hands', () => {
  const position = (n: number, where = 'a') => ({ part: 'consumer' as const, where, at: String(n) });
  const inHand = (n: number, where?: string) => ({ subject: `${where ?? 'a'}/${n}`, position: position(n, where) });
  const locked = (subject: string) => ({ subject, code: 'HF_LOCK_WAIT' as const, message: '' });

  it('keeps so many, and no more', () => {
    const many = Array.from({ length: MOST_IN_HAND - 2 }, (_, n) => inHand(n));
    const picked = [inHand(5_000), inHand(5_001), inHand(5_002)];
    const kept = withInHand(many, picked, [locked('a/5000'), { ...locked('a/5001'), code: 'HF_NOT_FOUND' }]);
    expect(kept.slice(-1)).toEqual([inHand(5_000)]);
    expect(kept).toHaveLength(MOST_IN_HAND - 1);
    expect(withInHand(kept, picked, [locked('a/5001'), locked('a/5002')])).toHaveLength(MOST_IN_HAND);
  });

  it('comes back to those of one place at a time, each once', () => {
    const held = [inHand(1), inHand(2, 'b'), inHand(3), inHand(4)];
    expect(nextInHand(held, new Set(), 2)).toEqual([inHand(1), inHand(3)]);
    expect(nextInHand(held, new Set(['a/1', 'a/3', 'a/4']), 2)).toEqual([inHand(2, 'b')]);
    expect(nextInHand(held, new Set(held.map(({ subject }) => subject)), 2)).toEqual([]);
  });

  it('accounts for each that it came back to', () => {
    const held = [inHand(1), inHand(2), inHand(3), inHand(4), inHand(5)];
    const acted = {
      done: 1,
      passedOver: [locked('a/2'), { subject: 'a/3', code: 'HF_SAGA_PIVOTED' as const, message: '' }],
    };
    const back = cameBack(held, held.slice(0, 4), held.slice(0, 3), acted);
    expect(back.inHand).toEqual([inHand(2), inHand(5)]);
    expect(back.passedOver).toEqual({ HF_LOCK_WAIT: -3, HF_SAGA_PIVOTED: 1, HF_NOT_FOUND: 1 });
    expect(back.settled).toEqual(['a/1', 'a/3', 'a/4']);
  });
});
