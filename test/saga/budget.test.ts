/** What attempts cost: the infrastructure's trouble nothing, the business's what it always cost. Pure. */
import { describe, expect, it } from 'vitest';
import {
  BREAKS_CONNECTIONS,
  maxConcurrent,
  decideFailed,
  LOST_BEFORE_STUCK,
  LOST_BEFORE_SUSPECT,
  newSpent,
  spend,
  type Spent,
} from '../../src/saga/journal/budget.ts';
import type { Uncounted } from '../../src/saga/journal/events.ts';
import type { RetryPolicy } from '../../src/runtime/retry.ts';

const policy: RetryPolicy = { attempts: 2, baseMs: 100, capMs: 1_000, factor: 2, withinMs: 60_000 };
const START = 1_000_000;

/** Lets attempts fail one after the other, as they are decided and folded; returns the decisions. */
function fail(
  spent: Spent,
  attempts: readonly { at: number; uncounted?: Uncounted; broken?: boolean; beganAt?: number }[],
): unknown[] {
  return attempts.map(({ at, uncounted, broken = false, beganAt }, index) => {
    if (beganAt !== undefined) spent.beganAt = START + beganAt;
    const now = START + at;
    const failure = { attempts: index, since: START, now, permanent: false, uncounted, broken, random: () => 0 };
    const decision = decideFailed(policy, spent, failure);
    if (decision.kind !== 'retry') return decision.kind;
    spend(spent, { retryAt: decision.retryAt, ...decision.note });
    return decision.note;
  });
}

describe('a budget of attempts', () => {
  it('is spent by the business alone', () => {
    const attempts = [
      { at: 10, uncounted: 'lost' as const },
      { at: 20, uncounted: 'stopped' as const },
      { at: 30, uncounted: 'database' as const },
      { at: 40 },
      { at: 50, uncounted: 'lost' as const },
      { at: 60 },
    ];
    expect(fail(newSpent(START), attempts).at(-1)).toBe('give up');
    expect(fail(newSpent(START), attempts).slice(0, -1)).not.toContain('give up');
  });

  it('has its time stand still while nobody runs what is due', () => {
    // Lost after two hours of work, then kept from beginning for an hour, then it fails as a step does.
    const spent = newSpent(START);
    const hour = 3_600_000;
    expect(
      fail(spent, [
        { at: 2 * hour, uncounted: 'lost' },
        { at: 3 * hour + 1_000, beganAt: 3 * hour },
      ]),
    ).toEqual([
      { uncounted: 'lost', free: 1, lost: 1, idle: 2 * hour },
      { free: 1, idle: 3 * hour },
    ]);
    expect(fail(spent, [{ at: 3 * hour + 61_000 }])).toEqual(['give up']);
    // A journal of which all but the last attempts were taken out says the same.
    const folded = newSpent(START);
    spend(folded, { retryAt: spent.dueAt, free: 1, idle: 3 * hour });
    expect(folded).toMatchObject({ uncounted: 1, idleMs: 3 * hour, lost: 0 });
  });

  it('counts the time that attempts take, and the waits between them', () => {
    expect(fail(newSpent(START), [{ at: 59_000 }])).toEqual([{}]);
    expect(fail(newSpent(START), [{ at: 61_000 }])).toEqual(['give up']);
  });

  it('ends for what loses every worker, in smaller and smaller concurrent', () => {
    const spent = newSpent(START);
    const concurrent: number[] = [];
    const decisions = Array.from({ length: LOST_BEFORE_STUCK }, (_, index) => {
      concurrent.push(maxConcurrent(spent));
      return fail(spent, [{ at: index, uncounted: 'lost' }])[0];
    });
    expect(decisions.at(-1)).toBe('kills workers');
    expect(decisions.slice(0, -1)).not.toContain('kills workers');
    expect(concurrent.slice(0, LOST_BEFORE_SUSPECT)).toEqual([Infinity, Infinity, Infinity]);
    expect(concurrent.slice(LOST_BEFORE_SUSPECT)).toEqual([8, 1, 1]);
  });

  it('ends for what breaks every connection, in smaller and smaller company, and says what that was', () => {
    const spent = newSpent(START);
    const concurrent: number[] = [];
    const cut = { uncounted: 'database' as const, broken: true };
    const decisions = Array.from({ length: LOST_BEFORE_STUCK }, (_, index) => {
      concurrent.push(maxConcurrent(spent));
      return fail(spent, [{ at: index, ...cut }])[0];
    });
    expect(decisions.at(-1)).toBe('kills workers');
    expect(decisions[4]).toMatchObject({ uncounted: 'database', free: 5, broken: 5 });
    expect(concurrent).toEqual([Infinity, Infinity, Infinity, 8, 1, 1]);
    const last = { attempts: 5, since: START, now: START, permanent: false, uncounted: 'database' as const };
    const stuck = decideFailed(policy, spent, { ...last, broken: true, random: () => 0 });
    expect(stuck).toMatchObject({ error: BREAKS_CONNECTIONS, note: { broken: 6, free: 6 } });
    // What is refused for certain is refused, and a conflict in between begins anew.
    const refused = decideFailed(policy, spent, { ...last, permanent: true, broken: true, random: () => 0 });
    expect(refused).toEqual({ kind: 'give up' });
    fail(spent, [{ at: 9, uncounted: 'database' }]);
    expect([spent.broken, spent.uncounted, maxConcurrent(spent)]).toEqual([0, 6, Infinity]);
  });

  it('leaves a server that has crashed time to begin anew, even where the step is tried again at once', () => {
    const spent = newSpent(START);
    const atOnce: RetryPolicy = { attempts: 1, baseMs: 0, capMs: 0, factor: 2, withinMs: 60_000 };
    const delays = Array.from({ length: 5 }, () => {
      const failure = { attempts: 0, since: START, now: START, permanent: false, uncounted: 'database' as const };
      const decision = decideFailed(atOnce, spent, { ...failure, broken: true, random: () => 1 });
      if (decision.kind !== 'retry') throw new Error(decision.kind);
      spend(spent, { retryAt: decision.retryAt, ...decision.note });
      return decision.retryAt - START;
    });
    expect(delays).toEqual([0, 500, 1_000, 2_000, 4_000]);
  });

  it('lets go on at once what was lost with a worker for the first time, and waits longer and longer from then on', () => {
    const spent = newSpent(START);
    const delays = [1, 2, 3].map(() => {
      const failure = { attempts: 0, since: START, now: START, permanent: false, uncounted: 'lost' as const };
      const decision = decideFailed(policy, spent, { ...failure, broken: false, random: () => 1 });
      if (decision.kind !== 'retry') throw new Error(decision.kind);
      spend(spent, { retryAt: decision.retryAt, ...decision.note });
      return decision.retryAt - START;
    });
    expect(delays[0]).toBe(0);
    expect(delays[1]).toBeGreaterThan(0);
    expect(delays[2]).toBeGreaterThan(delays[1] ?? 0);
  });

  it('takes anything else that ends an attempt for a proof of innocence', () => {
    const spent = newSpent(START);
    const lost = { at: 1, uncounted: 'lost' as const };
    fail(spent, [lost, lost, lost, lost, lost, { at: 1, uncounted: 'stopped' }]);
    expect(spent.lost).toBe(0);
    expect(maxConcurrent(spent)).toBe(Infinity);
  });
});
