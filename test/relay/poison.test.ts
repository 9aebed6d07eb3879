/** Finding the message that kills its relay: the decision alone, over all possible culprits. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  afterSuccess,
  CRASHES_BEFORE_PARKING,
  markBefore,
  planAfterTakeover,
  STALLS_BEFORE_PROBING,
  type ProbeState,
} from '../../src/relay/subscription/poison.ts';

describe('planAfterTakeover', () => {
  it('changes nothing before the third takeover without progress', () => {
    for (let stalls = 0; stalls < STALLS_BEFORE_PROBING; stalls += 1)
      expect(planAfterTakeover(stalls, null, 1000)).toEqual({ kind: 'normal' });
    expect(planAfterTakeover(STALLS_BEFORE_PROBING, null, 1000)).toMatchObject({ kind: 'probe', probe: { size: 500 } });
  });

  it('forgives a single message one death', () => {
    const once: ProbeState = { size: 1, left: 5, mark: { seqs: [7], crashes: 0 } };
    const plan = planAfterTakeover(3, once, 10);
    expect(plan).toMatchObject({ kind: 'probe' });
    if (plan.kind !== 'probe') return;
    expect(planAfterTakeover(3, markBefore(plan.probe, [7]), 10)).toMatchObject({ kind: 'park', seq: 7 });
    // Another message at the same place starts its own count.
    expect(planAfterTakeover(3, markBefore(plan.probe, [8]), 10)).toMatchObject({ kind: 'probe' });
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
            const plan = planAfterTakeover(stalls, probe, batchSize);
            if (plan.kind === 'park') parked.push(plan.seq);
            probe = plan.kind === 'normal' ? null : plan.probe;
            let alive = true;
            while (alive && next < total) {
              const page = log.slice(next, next + (probe?.size ?? batchSize)).filter((seq) => seq % every === 0);
              const sent = page.filter((seq) => !parked.includes(seq));
              const length = Math.min(probe?.size ?? batchSize, total - next);
              if (probe !== null && sent.length > 0) probe = markBefore(probe, sent);
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
