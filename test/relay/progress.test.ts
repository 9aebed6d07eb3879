/** How long a lease holds by the clock of its relay, and how the cursor gets into the database: without a database. */
import { describe, expect, it } from 'vitest';
import type { Cursor } from '../../src/relay/log/cursor.ts';
import { LeaseClock, lengthenedLeaseMs } from '../../src/relay/subscription/lease-clock.ts';
import { ProgressWriter, type CursorProgress } from '../../src/relay/subscription/progress.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a lease, by the clock of the process', () => {
  it('is over for publishing at three quarters, counted from before it was asked for', async () => {
    const clock = createManualClock();
    const asked = clock.monotonic();
    await clock.advance(100);
    const lease = new LeaseClock(clock, 1_000, asked);
    expect(lease.leftMs()).toBe(650);
    await clock.advance(650);
    expect(lease.leftMs()).toBe(0);
  });

  it('is renewed from when the write was sent, not from its answer', async () => {
    const clock = createManualClock();
    const lease = new LeaseClock(clock, 1_000, 0);
    await clock.advance(400);
    await lease.confirm(() => clock.advance(200));
    expect(lease.leftMs()).toBe(550);
  });

  it('is not renewed by a write that failed', async () => {
    const clock = createManualClock();
    const lease = new LeaseClock(clock, 1_000, 0);
    await clock.advance(400);
    await expect(lease.confirm(() => Promise.reject(new Error('lost')))).rejects.toThrow('lost');
    expect(lease.leftMs()).toBe(350);
  });

  it('is to be renewed after a third', async () => {
    const clock = createManualClock();
    const lease = new LeaseClock(clock, 900, 0);
    await clock.advance(299);
    expect(lease.isRenewalDue()).toBe(false);
    await clock.advance(1);
    expect(lease.isRenewalDue()).toBe(true);
  });

  it('is asked for twice as long with each lapse from the second on, up to eight times', () => {
    expect([0, 1, 2, 3, 4, 5, 32].map((lapses) => lengthenedLeaseMs(1_000, lapses))).toEqual([
      1_000, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000,
    ]);
  });
});

describe('progress', () => {
  const at = (high: number): Cursor => ({ snapshot: '1:1:', high, catchup: null, floor: 0 });

  /** Writes that wait until the test says what becomes of them. */
  function setup() {
    const clock = createManualClock();
    const writes: CursorProgress[] = [];
    const answers: { readonly go: () => void; readonly fail: (error: Error) => void }[] = [];
    const errors: unknown[] = [];
    const progress = new ProgressWriter({
      clock,
      stored: { cursor: at(0), published: 5 },
      write(given) {
        writes.push(given);
        return new Promise((go, fail) => answers.push({ go, fail }));
      },
      onError: (error) => errors.push(error),
    });
    return { clock, progress, writes, answers, errors };
  }

  it('that comes while a write is under way goes with the next one, none of it lost', async () => {
    const { clock, progress, writes, answers } = setup();
    progress.advance(at(1), 1);
    await turn();
    progress.advance(at(2), 1);
    progress.advance(at(3), 1);
    expect(writes.map(({ cursor }) => cursor.high)).toEqual([1]);
    answers[0]!.go();
    await turn();
    await clock.advance(20);
    expect(writes.map(({ cursor, published }) => [cursor.high, published])).toEqual([
      [1, 6],
      [3, 8],
    ]);
    expect([progress.hasStored, progress.isWriting]).toEqual([true, true]);
    answers[1]!.go();
    await turn();
    expect(progress.isWriting).toBe(false);
  });

  it('is stored when a flush is over: also what came while the last write was under way, and at once', async () => {
    const { progress, writes, answers } = setup();
    progress.advance(at(1), 1);
    await turn();
    progress.advance(at(2), 1);
    let flushed = false;
    const flush = progress.flush().then(() => (flushed = true));
    answers[0]!.go();
    await turn();
    expect([flushed, writes.length]).toEqual([false, 2]);
    answers[1]!.go();
    await flush;
    expect(writes.at(-1)?.cursor.high).toBe(2);
  });

  it('ends with the first write that fails, which is told and not said to be stored', async () => {
    const { progress, writes, answers, errors } = setup();
    progress.advance(at(1), 1);
    await turn();
    progress.advance(at(2), 1);
    const lost = new Error('lost');
    answers[0]!.fail(lost);
    await progress.flush();
    expect([errors, writes.length, progress.hasStored]).toEqual([[lost], 1, false]);
  });

  it('is written no oftener than every twenty milliseconds', async () => {
    const { clock, progress, writes, answers } = setup();
    progress.advance(at(1), 1);
    await turn();
    answers[0]!.go();
    await turn();
    await clock.advance(5);
    progress.advance(at(2), 1);
    await clock.advance(14);
    expect(writes).toHaveLength(1);
    await clock.advance(1);
    expect(writes).toHaveLength(2);
    answers[1]!.go();
    await turn();
  });
});
