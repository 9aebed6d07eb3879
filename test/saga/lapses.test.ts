/** What tells workers that died from workers that stood still, and what is done about the latter. Pure. */
import { describe, expect, it } from 'vitest';
import type { RetryPolicy } from '../../src/runtime/retry.ts';
import { deadlyTrials, suspicionOf } from '../../src/saga/decide/quarantine.ts';
import { lapsesOf } from '../../src/saga/decide/lost-attempts.ts';
import {
  decideFailed,
  KILLS_WORKERS,
  maxConcurrent,
  newSpent,
  OUTLASTS_LEASES,
  spend,
  type FailedDecision,
} from '../../src/saga/journal/budget.ts';
import type { JournalEvent } from '../../src/saga/journal/events.ts';
import { Lapses, timesAsLong } from '../../src/saga/worker/lapses.ts';

const LEASE_MS = 1_000;
const policy: RetryPolicy = { attempts: 1, baseMs: 0, capMs: 0, factor: 2, withinMs: 60_000 };
const numbersTo = (n: number): number[] => Array.from({ length: n }, (_, index) => index + 1);

/** A call whose attempts are lost one after the other; of each loss the lapses known by then. */
function lose(times: number, isLapse: (n: number) => boolean) {
  const spent = newSpent(0);
  const concurrent: number[] = [];
  const decisions: FailedDecision[] = [];
  for (let lost = 1; lost <= times; lost += 1) {
    concurrent.push(maxConcurrent(spent));
    const lapsed = lapsesOf({ lost, lapsed: numbersTo(lost).filter(isLapse) }, spent);
    const failure = { attempts: 0, since: 0, now: 0, permanent: false, uncounted: 'lost', broken: false } as const;
    const decision = decideFailed(policy, spent, { ...failure, lapsed, random: () => 0 });
    decisions.push(decision);
    if (decision.kind !== 'retry') break;
    spend(spent, { retryAt: decision.retryAt, ...decision.note });
  }
  return { concurrent, last: decisions.at(-1), made: decisions.length, spent };
}

describe('attempts that were lost with workers', () => {
  it('that died make it stuck after six, and with workers that live after twelve, for another reason', () => {
    expect(lose(20, () => false)).toMatchObject({ made: 6, last: { kind: 'kills workers', error: KILLS_WORKERS } });
    expect(lose(20, () => true)).toMatchObject({ made: 12, last: { kind: 'kills workers', error: OUTLASTS_LEASES } });
    // Four deaths and four lapses.
    expect(lose(20, (n) => n % 2 === 0)).toMatchObject({ made: 8, last: { error: KILLS_WORKERS } });
  });

  it('that live are suspect after twice as many', () => {
    expect(lose(9, () => true).concurrent).toEqual([...Array.from({ length: 6 }, () => Infinity), 8, 8, 1]);
    expect(lose(5, () => true).spent).toMatchObject({ lost: 5, lapsed: 5 });
  });

  it('count a lapse of which the word came after the next attempt had begun, at the next loss', () => {
    const spent = { ...newSpent(0), lost: 4, lapsed: 1 };
    expect(lapsesOf({ lost: 7, lapsed: [2, 3, 4, 5] }, spent)).toBe(3);
  });
});

describe('a run that was lost without a word', () => {
  const row = (event: JournalEvent, n: number) => ({ n, at: n, events: [event] });
  const journal = [row({ t: 'started', input: null }, 0)];
  const trials = (...lost: number[]) => lost.map((each, n) => row({ t: 'recovered', lost: each, alone: true }, n + 1));

  it('is suspect after three deaths, or six lapses', () => {
    expect(suspicionOf({ journal, lost: 3 })).toBe('suspect');
    expect(suspicionOf({ journal, lost: 5, lapsed: [1, 2, 3, 4, 5] })).toBe('none');
    expect(suspicionOf({ journal, lost: 6, lapsed: [1, 2, 3, 4, 5, 6] })).toBe('suspect');
    const since = [row({ t: 'recovered', lost: 4 }, 1)];
    expect(suspicionOf({ journal: since, lost: 7, lapsed: [1, 2, 3, 4, 7] })).toBe('none');
  });

  it('is condemned after three deadly trials, or twice as many under which its workers stood still', () => {
    const tried = (lost: number, lapsed: number[]) =>
      suspicionOf({ journal: [...journal, ...trials(...numbersTo(lost - 1).slice(2))], lost, lapsed });
    expect(tried(6, [])).toBe('proven');
    expect(tried(6, [4, 5, 6])).toBe('suspect');
    expect(tried(9, [4, 5, 6, 7, 8, 9])).toBe('proven');
    expect(deadlyTrials({ journal: trials(3, 4), lost: 5, lapsed: [4] })).toBe(1.5);
  });
});

describe('a lease', () => {
  it('is twice as long from the second lapse in a row on, and eight times at most', () => {
    expect([0, 1, 2, 3, 4, 5, 50].map(timesAsLong)).toEqual([1, 1, 2, 4, 8, 8, 8]);
  });

  it('is as usual again when a session has lived for long', () => {
    const lapses = new Lapses(LEASE_MS);
    const lapse = (sinceMs: number, overAtMs: number): number => {
      lapses.note({ id: `of ${sinceMs}`, sinceMs }, overAtMs, true);
      return lapses.leaseMs;
    };
    expect([lapse(0, 1_000), lapse(1_000, 2_000), lapse(2_000, 4_000)]).toEqual([1_000, 2_000, 4_000]);
    lapses.lived(19_999);
    expect(lapses.leaseMs).toBe(4_000);
    lapses.lived(20_000);
    expect(lapses.leaseMs).toBe(1_000);
    expect([lapse(0, 1_000), lapse(1_000, 2_000), lapse(2_000, 30_000)]).toEqual([1_000, 2_000, 1_000]);
  });

  it('is not longer after what was no lapse, but spoken for', () => {
    const lapses = new Lapses(LEASE_MS);
    for (const id of ['a', 'b', 'c']) lapses.note({ id, sinceMs: 0 }, 1_000, false);
    expect([lapses.leaseMs, lapses.ids]).toEqual([1_000, ['a', 'b', 'c']]);
    expect(lapses.keptUntil(16_999)).toEqual(['a', 'b', 'c']);
    expect(lapses.keptUntil(17_000)).toEqual([]);
  });
});
