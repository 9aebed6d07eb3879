/** When a worker looks at its store again. */
import { expect, it } from 'vitest';
import { PollPace, pollMs } from '../../src/saga/worker/poll-pace.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';

function paceOf(asleepAfterMs?: number) {
  const asked: boolean[] = [];
  const clock = createManualClock();
  const setAsleep = async (asleep: boolean): Promise<boolean> => (asked.push(asleep), asleep);
  return { asked, clock, pace: new PollPace({ clock, idlePollMs: 60_000, setAsleep, asleepAfterMs }) };
}

it('looks no later than by a tenth of the time that something took to come', () => {
  expect([0, 50, 200, 400, 900].map(pollMs)).toEqual([5, 5, 20, 40, 50]);
});

it('asks to be woken after a second of silence, looks once more, and sleeps until something is due', async () => {
  const { asked, clock, pace } = paceOf();
  await clock.advance('999ms');
  expect([await pace.afterNothing(Infinity, async () => 5_000), asked]).toEqual([50, []]);
  await clock.advance('1ms');
  expect([await pace.afterNothing(Infinity, async () => 5_000), asked]).toEqual([50, [true]]);
  expect(await pace.afterNothing(Infinity, async () => 5_000)).toBe(5_000);
  expect(await pace.afterNothing(200, async () => 5_000)).toBe(200);
  expect([await pace.afterFind(), asked]).toEqual([5, [true, true, true, false]]);
});

it('asks at once where it is woken in any case', async () => {
  const { asked, pace } = paceOf(0);
  expect([await pace.afterNothing(Infinity, async () => 5_000), asked]).toEqual([50, [true]]);
  expect(await pace.afterNothing(Infinity, async () => 5_000)).toBe(5_000);
});

it('does not sleep past a timer of its own, however much happens', async () => {
  const { pace } = paceOf();
  expect(await pace.afterNothing(3, async () => 5_000)).toBe(3);
});

it('goes on looking where nobody would wake it', async () => {
  const clock = createManualClock();
  const pace = new PollPace({ clock, idlePollMs: 60_000, setAsleep: async () => false });
  await clock.advance('1m');
  for (let times = 0; times < 3; times += 1) expect(await pace.afterNothing(Infinity, async () => 5_000)).toBe(50);
});
