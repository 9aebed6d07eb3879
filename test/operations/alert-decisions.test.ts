/** What is told of what is wrong: the decision over generated histories, and what of status counts as wrong. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AlertKind, Condition } from '../../src/operations/alerts/alert.ts';
import { consumerConditions, relayConditions, sagaConditions } from '../../src/operations/alerts/conditions.ts';
import { decideAlerts, type AlertPolicy, type AlertRecord, type Telling } from '../../src/operations/alerts/decide.ts';
import type { SubscriptionStatus } from '../../src/operations/relay/relay-status.ts';

const MINUTE = 60_000;
const policy: AlertPolicy = {
  quietMs: 5 * MINUTE,
  repeatMs: 60 * MINUTE,
  clearMs: MINUTE,
  forMs: (kind) => (kind === 'late' ? 2 * MINUTE : 0),
};
const condition = (kind: AlertKind, count = 1): Condition => ({ kind, subject: 's', count, summary: 'w', advice: 'd' });

interface Told {
  readonly atMs: number;
  readonly status: 'firing' | 'resolved';
  readonly again: boolean;
  readonly count: number;
}

/** One alert over time. Each look: how long after the one before, and how many there were of it (0: it was not so). */
function watch(kind: AlertKind, looks: readonly (readonly [afterMs: number, count: number])[]) {
  let nowMs = 1_000_000;
  let records: readonly AlertRecord[] = [];
  const told: Told[] = [];
  const note = ({ record, status, again }: Telling): void =>
    void told.push({ atMs: nowMs, status, again, count: record.count });
  for (const [afterMs, count] of looks) {
    nowMs += afterMs;
    const conditions = count === 0 ? [] : [condition(kind, count)];
    const decision = decideAlerts(records, conditions, nowMs, policy);
    decision.tell.forEach(note);
    records = decision.keep;
    // A second look at the same moment, as after a crash, has nothing to add.
    const again = decideAlerts(records, conditions, nowMs, policy);
    expect(again.tell).toEqual([]);
  }
  return { told, records, nowMs };
}

const looks = fc.array(fc.tuple(fc.integer({ min: 1_000, max: 10 * MINUTE }), fc.integer({ min: 0, max: 4 })), {
  maxLength: 60,
  size: 'max',
});
const kinds = fc.constantFrom<AlertKind>('stuck', 'late');

describe('over any history', () => {
  it('two tellings that it fires are never closer than the quiet time', () => {
    fc.assert(
      fc.property(kinds, looks, (kind, history) => {
        const fired = watch(kind, history).told.filter(({ status }) => status === 'firing');
        for (const [index, { atMs }] of fired.entries())
          if (index > 0) expect(atMs - (fired[index - 1]?.atMs ?? 0)).toBeGreaterThanOrEqual(policy.quietMs);
      }),
    );
  });

  it('the end is told only after it fired, and each episode begins with a first telling', () => {
    fc.assert(
      fc.property(kinds, looks, (kind, history) => {
        let firing = false;
        for (const { status, again } of watch(kind, history).told) {
          if (status === 'resolved') expect(firing).toBe(true);
          else expect(again).toBe(firing);
          firing = status === 'firing';
        }
      }),
    );
  });

  it('what is over for long is told as over, and forgotten', () => {
    fc.assert(
      fc.property(kinds, looks, (kind, history) => {
        const silence = Array.from({ length: 3 }, () => [10 * MINUTE, 0] as const);
        const { told, records } = watch(kind, [...history, ...silence]);
        expect(told.at(-1)?.status ?? 'resolved').toBe('resolved');
        expect(records).toEqual([]);
      }),
    );
  });

  it('what goes on is told, and told again in time', () => {
    fc.assert(
      fc.property(kinds, looks, fc.integer({ min: 1, max: 4 }), (kind, history, count) => {
        const going = Array.from({ length: 200 }, () => [30_000, count] as const);
        const { told, nowMs } = watch(kind, [...history, ...going]);
        const last = told.at(-1);
        expect(last).toMatchObject({ status: 'firing', count });
        expect(nowMs - (last?.atMs ?? 0)).toBeLessThanOrEqual(policy.repeatMs);
      }),
      { numRuns: 30 },
    );
  });
});

describe('an alert', () => {
  it('waits until it has been so for as long as its kind asks for', () => {
    expect(
      watch('late', [
        [0, 1],
        [MINUTE, 1],
        [1_000, 0],
        [1_000, 1],
        [MINUTE, 1],
      ]).told,
    ).toEqual([]);
    expect(
      watch('late', [
        [0, 1],
        [MINUTE, 1],
        [MINUTE, 1],
      ]).told,
    ).toMatchObject([{ status: 'firing', again: false }]);
  });

  it('that has grown is told again after the quiet time, where its kind counts what waits for a person', () => {
    const grown = [
      [0, 1],
      [MINUTE, 3],
      [MINUTE, 3],
      [4 * MINUTE, 3],
      [MINUTE, 3],
    ] as const;
    expect(watch('stuck', grown).told).toMatchObject([{ count: 1 }, { count: 3, again: true }]);
    expect(watch('unserved', grown).told).toMatchObject([{ count: 1 }]);
  });

  it('that has shrunk and then grown is told again, though there are no more of them than at first', () => {
    const mended = [
      [0, 3],
      [MINUTE, 1],
      [5 * MINUTE, 3],
    ] as const;
    expect(watch('stuck', mended).told).toMatchObject([{ count: 3 }, { count: 3, again: true }]);
  });

  it('that comes and goes is told once in the quiet time', () => {
    const flapping = Array.from(
      { length: 4 },
      () =>
        [
          [30_000, 1],
          [MINUTE, 0],
          [MINUTE, 0],
        ] as const,
    ).flat();
    const { told } = watch('stuck', flapping);
    expect(told.map(({ status }) => status)).toEqual(['firing', 'resolved', 'firing', 'resolved']);
  });

  it('that comes back within the quiet time and stays is told when that is over', () => {
    const back = watch('stuck', [
      [0, 1],
      [MINUTE, 0],
      [MINUTE, 1],
      [2 * MINUTE, 1],
      [MINUTE, 1],
    ]).told;
    expect(back).toMatchObject([{ status: 'firing' }, { status: 'resolved' }, { status: 'firing', again: false }]);
  });

  it('that one look has missed is not over', () => {
    const missed = [
      [0, 1],
      [30_000, 0],
      [30_000, 1],
      [30_000, 0],
      [30_000, 1],
    ] as const;
    expect(watch('stuck', missed).told).toMatchObject([{ status: 'firing' }]);
  });

  it('is not silenced by a clock that was set back', () => {
    const first = decideAlerts([], [condition('stuck')], 100 * 60 * MINUTE, policy);
    const back = decideAlerts(first.keep, [condition('stuck', 2)], MINUTE, policy);
    const later = decideAlerts(back.keep, [condition('stuck', 2)], 7 * MINUTE, policy);
    expect(later.tell).toMatchObject([{ status: 'firing', again: true }]);
  });

  it('of which nothing is known any more leaves the others alone', () => {
    const both = [condition('stuck'), { ...condition('stuck'), subject: 'other' }];
    const first = decideAlerts([], both, 0, policy);
    expect(first.tell).toHaveLength(2);
    const second = decideAlerts(first.keep, both.slice(1), 2 * MINUTE, policy);
    expect(second.tell).toMatchObject([{ status: 'resolved', record: { subject: 's' } }]);
    expect(second.keep.map(({ subject, state }) => [subject, state])).toEqual([
      ['s', 'resolved'],
      ['other', 'firing'],
    ]);
  });
});

describe('what is wrong', () => {
  const well: SubscriptionStatus = {
    name: 'main',
    shard: 0,
    shards: 2,
    lease: { owner: 'r', epoch: 1, remainingMs: 9_000 },
    live: true,
    high: 5,
    behind: 0,
    oldestUnpublishedAgeMs: null,
    published: 5,
    ratePerSecond: 1,
    drainMs: 0,
    advancedAgoMs: 1,
    trouble: null,
    stalls: 0,
    lapses: 0,
    probing: false,
    retentionMs: null,
    parked: { failed: 0, behind: 0, dead: 0 },
  };
  const thresholds = { lateMs: (name: string) => (name === 'slow' ? 3_600_000 : 60_000), overdueMs: 60_000 };
  const kindsOf = (...shards: Partial<SubscriptionStatus>[]) =>
    relayConditions(
      shards.map((shard) => ({ ...well, ...shard })),
      thresholds,
    ).map(({ kind, subject, count }) => `${kind} ${subject} ${count}`);

  it('with a subscription: each kind once, over its shards', () => {
    expect(kindsOf({}, { shard: 1 })).toEqual([]);
    expect(kindsOf({ oldestUnpublishedAgeMs: 61_000, behind: 7 }, { shard: 1, oldestUnpublishedAgeMs: 5 })).toEqual([
      'late main 7',
    ]);
    expect(kindsOf({ live: false, trouble: 'away' }, { shard: 1 })).toEqual(['unserved main 1']);
    expect(kindsOf({ trouble: 'away' }, { shard: 1, trouble: 'away' })).toEqual(['breaker-open main 2']);
    expect(kindsOf({ stalls: 1 }, { shard: 1, stalls: 2 })).toEqual(['relay-dies main 2']);
    expect(
      kindsOf({ parked: { failed: 9, behind: 9, dead: 1 } }, { shard: 1, parked: { failed: 0, behind: 0, dead: 2 } }),
    ).toEqual(['relay-dead-letter main 3']);
  });

  it('with a subscription that has an objective of its own', () => {
    expect(kindsOf({ name: 'slow', oldestUnpublishedAgeMs: 3_000_000 })).toEqual([]);
  });

  it('with consumers: dead letters alone', () => {
    const parked = { oldestAgeMs: 1, failed: 3, behind: 1 };
    const found = consumerConditions([
      { consumer: 'a', dead: 0, ...parked },
      { consumer: 'b', dead: 2, ...parked },
    ]);
    expect(found).toMatchObject([{ kind: 'consumer-dead-letter', subject: 'b', count: 2 }]);
  });

  it('with sagas: what nobody can run is not overdue as well', () => {
    const due = { saga: 'order', version: 1, runs: 3, atLeast: false, oldestMs: 90_000 };
    const worker = { id: 'w', sagas: [], codes: {}, draining: false, startedAt: new Date(0), leaseMs: 0 };
    const found = sagaConditions(
      {
        stuck: [{ saga: 'order', runs: 2, oldestMs: 1 }],
        due: [due, { ...due, version: 2 }, { ...due, version: 3, oldestMs: 100 }],
        unrunnable: [due],
        workers: [
          { ...worker, name: 'gone', live: false, runs: 4 },
          { ...worker, name: 'there', live: true, runs: 4 },
        ],
      },
      thresholds,
    );
    expect(found.map(({ kind, subject, count }) => `${kind} ${subject} ${count}`)).toEqual([
      'stuck order 2',
      'unrunnable order@1 3',
      'overdue order@2 3',
      'worker-dead gone 4',
    ]);
  });

  it('with very many subjects: no more alerts than people can read', () => {
    const many = Array.from({ length: 500 }, (_, n) => ({
      consumer: `c${n}`,
      dead: 1,
      failed: 0,
      behind: 0,
      oldestAgeMs: 1,
    }));
    const found = consumerConditions(many);
    expect(found).toHaveLength(50);
    expect(found.at(-1)).toMatchObject({ subject: '(others)', count: 451 });
  });
});
