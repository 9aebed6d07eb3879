/**
 * Many timeouts behind one timer.
 */
import { expect, it } from 'vitest';
import { createDeadlines } from '../../src/runtime/deadlines.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';

it('expires what is due, in time, and nothing that was cancelled', async () => {
  const clock = createManualClock();
  const deadlines = createDeadlines(clock);
  const expired: string[] = [];
  deadlines.add(1_000, () => expired.push('a'));
  const cancel = deadlines.add(1_000, () => expired.push('cancelled'));
  deadlines.add(Infinity, () => expired.push('never'));
  await clock.advance(500);
  deadlines.add(1_000, () => expired.push('b'));
  cancel();
  await clock.advance(499);
  expect(expired).toEqual([]);
  await clock.advance(1);
  expect(expired).toEqual(['a']);
  await clock.advance(500);
  expect(expired).toEqual(['a', 'b']);
});

it('wakes earlier for a deadline that is earlier than the ones before', async () => {
  const clock = createManualClock();
  const deadlines = createDeadlines(clock);
  const expired: string[] = [];
  deadlines.add(60_000, () => expired.push('late'));
  await clock.whenSleeping();
  deadlines.add(10, () => expired.push('early'));
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  await clock.advance(10);
  expect(expired).toEqual(['early']);
});

it('takes one added while another expires', async () => {
  const clock = createManualClock();
  const deadlines = createDeadlines(clock);
  const expired: string[] = [];
  deadlines.add(10, () => {
    expired.push('first');
    deadlines.add(10, () => expired.push('second'));
  });
  await clock.advance(20);
  expect(expired).toEqual(['first', 'second']);
});

it('expires all that are due, also when one of them cancels the next', async () => {
  const clock = createManualClock();
  const deadlines = createDeadlines(clock);
  const expired: string[] = [];
  let cancel = (): void => {};
  deadlines.add(10, () => {
    expired.push('first');
    cancel();
  });
  cancel = deadlines.add(10, () => expired.push('cancelled'));
  deadlines.add(10, () => expired.push('third'));
  deadlines.add(20, () => expired.push('fourth'));
  await clock.advance(10);
  expect(expired).toEqual(['first', 'third']);
  cancel();
  await clock.advance(10);
  expect(expired).toEqual(['first', 'third', 'fourth']);
});

it('uses one timer however many there are, and lets go of it when closed', async () => {
  const clock = createManualClock();
  const deadlines = createDeadlines(clock);
  const cancels = Array.from({ length: 100 }, () => deadlines.add(1_000, () => {}));
  expect(clock.sleeping).toBe(1);
  deadlines.close();
  expect(clock.sleeping).toBe(1);
  for (const cancel of cancels) cancel();
  deadlines.close();
  expect(clock.sleeping).toBe(0);
});

it('does not wake for each of those that come and go beside a long one', async () => {
  const clock = createManualClock();
  let sleeps = 0;
  const deadlines = createDeadlines({
    ...clock,
    sleep: (delayMs, signal) => {
      sleeps += 1;
      return clock.sleep(delayMs, signal);
    },
  });
  deadlines.add(60_000, () => {});
  for (let n = 0; n < 20; n += 1) {
    const cancel = deadlines.add(10, () => {});
    cancel();
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  expect(sleeps).toBe(2);
});
