import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Timers, type Timed } from '../../src/saga/run/timer-heap.ts';

interface Owner extends Timed<Owner> {
  readonly n: number;
}
const makeOwner = (n: number): Owner => ({ n, timer: null });

const OWNERS = 6;
const owner = fc.nat({ max: OWNERS - 1 });
const at = fc.oneof(fc.nat({ max: 40 }), fc.constant(Infinity));
const act = fc.oneof(
  fc.record({ kind: fc.constant('set' as const), owner, at }),
  fc.record({ kind: fc.constant('forget' as const), owner }),
  fc.record({ kind: fc.constant('take' as const), now: fc.nat({ max: 40 }) }),
);

describe('timers', () => {
  it('do what a plain map would do', () => {
    fc.assert(
      fc.property(fc.array(act, { maxLength: 60, size: 'max' }), (acts) => {
        const timers = new Timers<Owner>();
        const owners = Array.from({ length: OWNERS }, (_, n) => makeOwner(n));
        const model = new Map<number, number>();
        for (const each of acts) {
          if (each.kind === 'set') {
            timers.set(owners[each.owner] ?? makeOwner(-1), each.at);
            if (each.at === Infinity) model.delete(each.owner);
            else model.set(each.owner, each.at);
          } else if (each.kind === 'forget') {
            timers.forget(owners[each.owner] ?? makeOwner(-1));
            model.delete(each.owner);
          } else {
            const due = [...model].filter(([, when]) => when <= each.now);
            const taken = timers.take(each.now).map(({ n }) => n);
            // Earliest first; in which order those of one moment come is nobody's business.
            expect(taken.map((n) => model.get(n))).toEqual(due.map(([, when]) => when).toSorted((a, b) => a - b));
            expect(new Set(taken)).toEqual(new Set(due.map(([n]) => n)));
            for (const n of taken) model.delete(n);
          }
          expect(timers.next).toBe(Math.min(Infinity, ...model.values()));
        }
      }),
    );
  });

  it('do not keep those that have been forgotten or moved', () => {
    const timers = new Timers<Owner>();
    const last = makeOwner(0);
    for (let n = 0; n < 100_000; n += 1) {
      const gone = makeOwner(n);
      timers.set(gone, 1e12 + n);
      timers.forget(gone);
      timers.set(last, 1e12 + n);
    }
    expect(timers.kept).toBeLessThan(5_000);
    expect(timers.next).toBe(1e12 + 99_999);
  });
});
