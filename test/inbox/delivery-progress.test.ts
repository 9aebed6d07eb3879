import { expect, it } from 'vitest';
import { FREE_CUTS, type AttemptOutcome } from '../../src/inbox/handlers/decide.ts';
import { DeliveryProgress } from '../../src/inbox/handlers/delivery-progress.ts';

const failed: AttemptOutcome = { kind: 'failed', error: new Error('no') };
const conflict: AttemptOutcome = { kind: 'conflict', error: new Error('40001') };
const cut: AttemptOutcome = { kind: 'cut', error: new Error('gone') };
const away: AttemptOutcome = { kind: 'unavailable', error: new Error('away') };

it('counts attempts by failures only', () => {
  const progress = new DeliveryProgress(1_000);
  progress.note(conflict, 1_010, 0, false);
  progress.repeat({ because: 'conflict', delayMs: 0 });
  progress.note(away, 1_020, 0, false);
  progress.repeat({ because: 'hold', delayMs: 0 });
  expect(progress.attempt).toBe(1);
  progress.note(failed, 1_030, 0, false);
  progress.repeat({ because: 'failed', delayMs: 0 });
  expect(progress.attempt).toBe(2);
});

it('counts conflicts in a row', () => {
  const progress = new DeliveryProgress(0);
  progress.note(conflict, 1, 0, false);
  progress.note(conflict, 2, 0, false);
  expect(progress.conflicts).toBe(2);
  progress.note(failed, 3, 0, false);
  expect(progress.conflicts).toBe(0);
  progress.note(conflict, 4, 0, false);
  expect(progress.conflicts).toBe(1);
});

it('does not count the time for which the database was away', () => {
  const progress = new DeliveryProgress(0);
  progress.note(away, 100, 0, false);
  expect(progress).toMatchObject({ holds: 0, heldMs: 0, elapsedMs: 100 });
  progress.repeat({ because: 'hold', delayMs: 0 });
  progress.note(away, 600, 0, false);
  expect(progress).toMatchObject({ holds: 1, heldMs: 500 });
  progress.repeat({ because: 'hold', delayMs: 0 });
  progress.note(failed, 1_100, 0, false);
  expect(progress).toMatchObject({ holds: 0, heldMs: 0, elapsedMs: 100 });
  progress.repeat({ because: 'failed', delayMs: 0 });
  progress.note(away, 1_200, 0, false);
  progress.repeat({ because: 'hold', delayMs: 0 });
  progress.note(failed, 1_900, 0, false);
  expect(progress).toMatchObject({ elapsedMs: 200 });
});

it('does not count the time of what was cut, nor the wait after it, as long as cuts are free', () => {
  const progress = new DeliveryProgress(0);
  progress.cuts = 1;
  progress.note(cut, 10_000, 0, false);
  expect(progress).toMatchObject({ attempt: 1, elapsedMs: 0 });
  progress.repeat({ because: 'cut', delayMs: 300 });
  expect(progress.attempt).toBe(1);
  progress.note(failed, 10_400, 0, false);
  expect(progress.elapsedMs).toBe(100);
  progress.repeat({ because: 'failed', delayMs: 0 });
  progress.note(away, 10_500, 0, false);
  progress.repeat({ because: 'hold', delayMs: 500 });
  progress.note(away, 11_000, 0, false);
  progress.repeat({ because: 'hold', delayMs: 500 });
  progress.note(cut, 11_600, 0, false);
  expect(progress.elapsedMs).toBe(200);
  progress.repeat({ because: 'cut', delayMs: 0 });
  progress.cuts = FREE_CUTS + 1;
  progress.note(cut, 11_700, 0, false);
  expect(progress.elapsedMs).toBe(300);
});

it('takes over what was found beside the outcome', () => {
  const progress = new DeliveryProgress(0);
  progress.note({ kind: 'awaiting' }, 5, 70, true);
  expect(progress).toMatchObject({ awaitedMs: 70, stopping: true });
});
