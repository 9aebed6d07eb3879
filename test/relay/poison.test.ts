/** Finding the message that kills its relay: the decision alone, over all possible culprits. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  afterSuccess,
  CRASHES_BEFORE_PARKING,
  markBefore,
  planAfterTakeover,
  LOSSES_BEFORE_PARKING,
  STALLS_BEFORE_PROBING,
  suspicion,
  type Losses,
  type ProbeState,
} from '../../src/relay/subscription/poison.ts';

const dead = (stalls: number): Losses => ({ stalls, lapsed: [] });

describe('planAfterTakeover', () => {
  it('changes nothing before the third takeover without progress', () => {
    for (let stalls = 0; stalls < STALLS_BEFORE_PROBING; stalls += 1)
      expect(planAfterTakeover(dead(stalls), null, 1000)).toEqual({ kind: 'normal' });
    expect(planAfterTakeover(dead(STALLS_BEFORE_PROBING), null, 1000)).toMatchObject({
      kind: 'probe',
      probe: { size: 500 },
    });
  });

  it('forgives a single message one death', () => {
    const once: ProbeState = { size: 1, left: 5, mark: { seqs: [7], crashes: 0 } };
    const plan = planAfterTakeover(dead(3), once, 10);
    expect(plan).toMatchObject({ kind: 'probe' });
    if (plan.kind !== 'probe') return;
    expect(planAfterTakeover(dead(3), markBefore(plan.probe, [7], 2), 10)).toMatchObject({ kind: 'park', seq: 7 });
    // Another message at the same place starts its own count.
    expect(planAfterTakeover(dead(3), markBefore(plan.probe, [8], 2), 10)).toMatchObject({ kind: 'probe' });
  });

  it('parks the culprit and only it, within a bounded number of deaths, wherever it stands', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 64 }),
        fc.integer({ min: 1, max: 200 }),
        fc.nat(),
        // Only so many rows of the log are this subscription's: other topics, other shards.
        fc.integer({ min: 1, max: 9 }),
        (batchSize, total, place, every) => {
          const culprit = (place % total) - ((place % total) % every);
          const log = Array.from({ length: total }, (_, seq) => seq);
          let next = 0;
          let stalls = 0;
          let probe: ProbeState | null = null;
          let deaths = 0;
          const parked: number[] = [];
          // Each turn of the outer loop is a life of the process.
          for (; next < total; deaths += 1) {
            expect(deaths).toBeLessThan(
              STALLS_BEFORE_PROBING + Math.ceil(Math.log2(batchSize)) + CRASHES_BEFORE_PARKING + 3,
            );
            const plan = planAfterTakeover(dead(stalls), probe, batchSize);
            if (plan.kind === 'park') parked.push(plan.seq);
            probe = plan.kind === 'normal' ? null : plan.probe;
            let alive = true;
            while (alive && next < total) {
              const page = log.slice(next, next + (probe?.size ?? batchSize)).filter((seq) => seq % every === 0);
              const sent = page.filter((seq) => !parked.includes(seq));
              const length = Math.min(probe?.size ?? batchSize, total - next);
              if (probe !== null && sent.length > 0) probe = markBefore(probe, sent, deaths);
              if (sent.includes(culprit)) {
                alive = false;
                stalls += 1;
              } else {
                next += length;
                stalls = 0;
                if (probe !== null) probe = afterSuccess(probe, page.length, next < total);
              }
            }
          }
          expect(parked).toEqual([culprit]);
        },
      ),
    );
  });
});

/** The message 7 is published alone under one lease after the other; `lives` says of each of them, in turn, whether its holder lives. */
function probedAlone(lives: readonly boolean[]): ReturnType<typeof planAfterTakeover> {
  let probe: ProbeState = { size: 1, left: 9, mark: null };
  const lapsed: number[] = [];
  for (const [epoch, alive] of lives.entries()) {
    probe = markBefore(probe, [7], epoch);
    if (alive) lapsed.push(epoch);
    const plan = planAfterTakeover({ stalls: 0, lapsed }, probe, 10);
    if (plan.kind !== 'probe') return plan;
    probe = plan.probe;
  }
  return { kind: 'probe', probe };
}

describe('relays that stood still and live', () => {
  it('count half, so that what holds up its relays again and again is looked for in the end', () => {
    expect(suspicion({ stalls: 1, lapsed: [1, 2, 3] })).toBe(2);
    expect(planAfterTakeover({ stalls: 0, lapsed: [1, 2, 3, 4, 5] }, null, 8)).toEqual({ kind: 'normal' });
    expect(planAfterTakeover({ stalls: 0, lapsed: [1, 2, 3, 4, 5, 6] }, null, 8)).toMatchObject({ kind: 'probe' });
  });

  it('clear what was being published of their deaths, also when they say so late', () => {
    expect(probedAlone([false, true])).toMatchObject({ probe: { mark: { crashes: 1, lapses: 1 } } });
    let probe: ProbeState = { size: 1, left: 9, mark: { seqs: [7], crashes: 1, epochs: [4, 5], lapses: 0 } };
    expect(planAfterTakeover(dead(3), probe, 10)).toMatchObject({ kind: 'park', because: 'killed', epochs: [4, 5] });
    const plan = planAfterTakeover({ stalls: 2, lapsed: [4] }, probe, 10);
    expect(plan).toMatchObject({ kind: 'probe', probe: { mark: { crashes: 1, epochs: [5], lapses: 1 } } });
    probe = markBefore((plan as { probe: ProbeState }).probe, [7], 6);
    // The word of another relay clears nothing.
    expect(planAfterTakeover({ stalls: 2, lapsed: [4, 9] }, probe, 10)).toMatchObject({ kind: 'park', epochs: [5, 6] });
  });

  it('park nothing before a bound, and then as what it is', () => {
    const alive = (count: number) => Array.from({ length: count }, () => true);
    expect(probedAlone(alive(LOSSES_BEFORE_PARKING - 1))).toMatchObject({ kind: 'probe' });
    expect(probedAlone(alive(LOSSES_BEFORE_PARKING))).toMatchObject({ kind: 'park', because: 'held-up', seq: 7 });
    // One death among them is still one.
    expect(probedAlone([true, false, true, true])).toMatchObject({ probe: { mark: { crashes: 1, lapses: 3 } } });
    expect(probedAlone([true, false, true, true, false])).toMatchObject({ kind: 'park', because: 'killed' });
  });

  it('are told from the dead by no mark that an older relay has written', () => {
    const older: ProbeState = { size: 1, left: 9, mark: { seqs: [7], crashes: 1 } };
    expect(planAfterTakeover({ stalls: 0, lapsed: [1, 2] }, older, 10)).toMatchObject({
      kind: 'park',
      because: 'killed',
      epochs: [],
    });
  });

  it('that come to the same message twice under one lease count once', () => {
    const once = markBefore({ size: 1, left: 9, mark: null }, [7], 4);
    expect(markBefore(once, [7], 4)).toEqual(once);
  });
});
