/**
 * That the judge of attempts speaks: what is recorded of a step, beside attempts that were seen to go otherwise.
 */
import { describe, expect, it } from 'vitest';
import type { JournalEvent } from '../../src/saga/journal/events.ts';
import { AttemptJudge } from './invariants/attempt-judge.ts';
import { attempt, called, RUN } from './seen-attempt.ts';
import type { AttemptEnd } from './workload/steps.ts';

const NOW = 1_000;

function judgeOf({ isDone = false, isDoneAfterRefusal = false } = {}) {
  const breaches: string[] = [];
  const judge = new AttemptJudge({
    say: (breach) => breaches.push(breach),
    now: () => NOW,
    declared: (step) => (step === 'pay' ? { attempts: 2, hasDeadline: false, verifies: true, fallsBack: false } : null),
    isDone: () => isDone,
    isDoneAfterRefusal: () => isDoneAfterRefusal,
  });
  const tell = (...events: readonly JournalEvent[]): void => {
    for (const event of events) judge.recorded(RUN, event);
  };
  return { judge, breaches, tell };
}

describe('the judge of attempts', () => {
  type Wrong = (judged: ReturnType<typeof judgeOf>) => void;
  const attempts =
    (ends: readonly AttemptEnd[]): Wrong =>
    ({ judge }) => {
      for (const [index, how] of ends.entries()) {
        judge.begins({ ...attempt('done'), nth: index + 1 });
        judge.ends({ ...attempt('done'), nth: index + 1 }, how);
      }
    };
  const error = { name: 'Error', message: '' };
  const lost = { ...error, code: 'HF_STEP_LOST' };
  const failed = { t: 'failed', call: 'pay', attempts: 2, error, outcome: 'unknown' } as const;
  const undoing = { t: 'undoing', reason: 'failed' } as const;
  const compensating = { t: 'compensating', call: 'pay', round: 1 } as const;

  it.each<readonly [string, Wrong]>([
    ['', (judged) => (judged.tell(called), attempts(['failed', 'timed out'])(judged), judged.tell(failed))],
    [
      '',
      (judged) => (judged.tell(called), attempts(['refused'])(judged), judged.tell({ ...failed, outcome: 'definite' })),
    ],
    // Begun when the run had turned back, and committed then.
    ['I8', (judged) => (judged.tell(called, undoing), judged.judge.begins(attempt('done')))],
    ['I8', ({ tell }) => tell({ ...called, kind: 'transaction' }, undoing, { t: 'done', call: 'pay' })],
    // Compensated under way, when it has not happened, and unasked.
    ['I8', ({ judge, tell }) => (tell(called), judge.begins(attempt('done')), judge.begins(attempt('compensated')))],
    [
      'I8',
      (judged) => (
        judged.tell(called),
        attempts(['refused'])(judged),
        judged.tell({ ...failed, outcome: 'definite' }, undoing, compensating)
      ),
    ],
    [
      'I8',
      (judged) => (
        judged.tell(called),
        attempts(['failed', 'failed'])(judged),
        judged.tell(failed, undoing, compensating)
      ),
    ],
    [
      'I7',
      ({ tell }) =>
        tell({ t: 'called', call: 'see', kind: 'step', step: 'see' }, undoing, { ...compensating, call: 'see' }),
    ],
    // As no attempt has said it.
    ['I10', ({ tell }) => tell(called, { t: 'done', call: 'pay' })],
    ['I17', (judged) => (judged.tell(called), attempts(['late'])(judged), judged.tell({ t: 'done', call: 'pay' }))],
    [
      'I10',
      (judged) => (
        judged.tell(called),
        attempts(['done'])(judged),
        judged.tell({ t: 'attempt failed', call: 'pay', attempt: 1, error, retryAt: 0 })
      ),
    ],
    [
      'I10',
      ({ tell }) =>
        tell(
          called,
          ...[2, 1].map((n) => ({ t: 'attempt failed', call: 'pay', attempt: n, error, retryAt: 0 }) as const),
        ),
    ],
    [
      'I10',
      ({ tell }) =>
        tell({
          t: 'failed',
          call: 'pay',
          attempts: 1,
          error: { name: 'BeingCompensated', message: '' },
          outcome: 'unknown',
        }),
    ],
    [
      'I12',
      ({ judge, tell }) => (
        tell(called, { t: 'attempt failed', call: 'pay', attempt: 1, error, retryAt: NOW + 1 }),
        judge.begins(attempt('done'))
      ),
    ],
    // Given up for what nobody but the infrastructure has done.
    ['I16', (judged) => (judged.tell(called), attempts(['failed', 'cut short'])(judged), judged.tell(failed))],
    // For a person, who can know no more.
    ['I22', ({ tell }) => tell(called, { t: 'stuck', why: 'forward', error })],
    [
      'I22',
      (judged) => (
        judged.tell(called),
        attempts(['refused'])(judged),
        judged.tell({ t: 'stuck', why: 'in doubt', call: 'pay', error })
      ),
    ],
    // Of an attempt that was lost before it had begun nobody knows that.
    [
      '',
      (judged) => (
        judged.tell(called, {
          t: 'attempt failed',
          call: 'pay',
          attempt: 1,
          error: lost,
          retryAt: 0,
          uncounted: 'lost',
        }),
        judged.judge.begins({ ...attempt('done'), nth: 2 }),
        judged.judge.ends({ ...attempt('done'), nth: 2 }, 'refused'),
        judged.tell({ t: 'stuck', why: 'in doubt', call: 'pay', error })
      ),
    ],
  ])('speaks for %s (%#)', (promise, wrong) => {
    const judged = judgeOf();
    wrong(judged);
    expect(judged.breaches.map((breach) => breach.split(':')[0])).toEqual(promise === '' ? [] : [promise]);
  });

  it('speaks for I8 of what counts as not happened, and has', () => {
    const judged = judgeOf({ isDone: true });
    judged.tell(called);
    attempts(['refused'])(judged);
    judged.tell({ ...failed, outcome: 'definite' });
    expect(judged.breaches.map((breach) => breach.split(':')[0])).toEqual(['I8']);
  });

  it('says nothing of what a participant that forgets refused first, and did when it was asked again', () => {
    const { tell, breaches } = judgeOf({ isDone: true, isDoneAfterRefusal: true });
    tell({ ...called, kind: 'command' }, { ...failed, outcome: 'definite' });
    expect(breaches.filter((breach) => breach.startsWith('I8'))).toEqual([]);
  });
});
