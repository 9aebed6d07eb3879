/** The pace of retention: rests after work, sooner rounds when there is much to do, a stop at once. */
import { expect, it } from 'vitest';
import { silentLogger } from '../../src/runtime/log.ts';
import { createPacedRounds, inPacedChunks, nextRoundMs } from '../../src/runtime/paced.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';

const bounds = { leastMs: 1_000, mostMs: 60_000, enough: 100 };

it('comes back the sooner the more there was to do, within its bounds', () => {
  expect(nextRoundMs(60_000, 0, bounds)).toBe(60_000);
  expect(nextRoundMs(60_000, 50, bounds)).toBe(60_000);
  expect(nextRoundMs(60_000, 1_000, bounds)).toBe(6_000);
  expect(nextRoundMs(6_000, 1_000, bounds)).toBe(1_000);
  expect(nextRoundMs(1_000, 1_000_000, bounds)).toBe(1_000);
  expect(nextRoundMs(1_000, 30, bounds)).toBe(1_000);
  expect(nextRoundMs(1_000, 0, bounds)).toBe(2_000);
});

it('settles at rounds that find about enough, whatever the rate', () => {
  for (const perSecond of [10, 50, 99]) {
    let waitMs = bounds.mostMs;
    for (let round = 0; round < 50; round += 1) waitMs = nextRoundMs(waitMs, (perSecond * waitMs) / 1_000, bounds);
    expect((perSecond * waitMs) / 1_000).toBeLessThanOrEqual(bounds.enough);
    expect(waitMs).toBeGreaterThanOrEqual(1_000);
  }
});

it('rests after each chunk for as long as it took, and not after the last', async () => {
  const clock = createManualClock();
  const at: number[] = [];
  let left = 3;
  const done = inPacedChunks(clock, new AbortController().signal, async () => {
    at.push(clock.monotonic());
    await clock.sleep(40);
    left -= 1;
    return left > 0;
  });
  await clock.advance(500);
  await done;
  expect(at).toEqual([0, 80, 160]);
});

it('ends in its rest when it is stopped, and its next start goes on', async () => {
  const clock = createManualClock();
  let chunks = 0;
  const rounds = createPacedRounds({
    name: 'rounds',
    clock,
    log: silentLogger,
    bounds,
    onError: () => 1,
    async round(signal) {
      await inPacedChunks(clock, signal, async () => {
        chunks += 1;
        await clock.sleep(10);
        return true;
      });
      return chunks;
    },
  });
  await rounds.start();
  await clock.advance(35);
  expect(chunks).toBe(2);
  await rounds.stop();
  await rounds.start();
  await clock.advance(5);
  expect(chunks).toBe(3);
  const stopped = rounds.stop();
  await clock.advance(5);
  await stopped;
});
