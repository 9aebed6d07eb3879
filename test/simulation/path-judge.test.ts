/** That the judge of the way of a run speaks: journals of runs that turn back, give up, go on or end as they must not. */
import { describe, expect, it } from 'vitest';
import type { JournalEvent } from '../../src/saga/journal/events.ts';
import { PathJudge } from './invariants/path-judge.ts';
import type { Watched } from './invariants/attempt-judge.ts';

const RUN = '00000000-0000-7000-8000-000000000001';
const NOW = 100_000;
const error = { name: 'Error', message: '' };
const pay = { t: 'called', call: 'pay', kind: 'step', step: 'pay', undoable: true } as const;
const ship = { t: 'called', call: 'ship', kind: 'step', step: 'ship', pivot: true } as const;
const shipped = { t: 'done', call: 'ship' } as const;
const failed = { t: 'failed', call: 'pay', attempts: 2, error, outcome: 'unknown' } as const;
const attemptFailed = { t: 'attempt failed', call: 'pay', attempt: 1, error, retryAt: 0 } as const;
const undoing = { t: 'undoing', reason: 'cancelled' } as const;

function judgeOf(how: Watched['how'] = 'failed') {
  const breaches: string[] = [];
  const judge = new PathJudge({
    say: (breach) => breaches.push(breach),
    now: () => NOW,
    declared: () => ({ attempts: 2, hasDeadline: false, verifies: false, fallsBack: false }),
    attemptsOf: () => [{ what: 'done', token: 1, nth: 1, by: { alive: true }, how }],
  });
  return { judge, breaches };
}

describe('the judge of the way of a run', () => {
  it.each<readonly [string, readonly JournalEvent[]]>([
    ['', [pay, attemptFailed, failed, undoing]],
    ['', [pay, ship, shipped, attemptFailed, attemptFailed, { t: 'done', call: 'pay' }, { t: 'completed' }]],
    ['', [pay, ship, shipped, { ...failed, error: { ...error, code: 'HF_REJECTED' } }]],
    ['', [pay, { t: 'stuck', why: 'code', call: 'pay', error }, attemptFailed, attemptFailed]],
    ['I7', [ship, shipped, undoing]],
    ['I7', [ship, undoing]],
    ['I7', [{ ...ship, kind: 'command' }, undoing]],
    ['I7', [pay, ship, shipped, failed]],
    [
      'I22',
      [
        { t: 'called', call: 'ship', kind: 'step', step: 'ship' },
        { t: 'stuck', why: 'in doubt', call: 'ship', error },
        undoing,
      ],
    ],
    ['I17', [pay, attemptFailed, attemptFailed]],
    ['I8', [pay, { t: 'completed' }]],
    ['I8', [pay, { t: 'held' }]],
  ])('speaks for %s (%#)', (promise, events) => {
    const { judge, breaches } = judgeOf();
    for (const event of events) judge.recorded(RUN, event);
    expect(breaches.map((breach) => breach.split(':')[0])).toEqual(promise === '' ? [] : [promise]);
  });

  it('says nothing of a pivot that was refused', () => {
    const { judge, breaches } = judgeOf('refused');
    for (const event of [ship, undoing]) judge.recorded(RUN, event);
    expect(breaches).toEqual([]);
  });

  it.each([
    [NOW - 1_000, []],
    [NOW - 20_000, ['I17']],
  ] as const)('speaks for I17 of a step that is tried again after its whole time: %i', (until, promises) => {
    const { judge, breaches } = judgeOf();
    judge.recorded(RUN, { ...pay, until });
    judge.begins({ runId: RUN, call: 'pay', kind: 'step', what: 'done', token: 1, nth: 2, by: { alive: true } });
    expect(breaches.map((breach) => breach.split(':')[0])).toEqual(promises);
  });
});
