import { describe, expect, test } from 'vitest';
import { HoldfastError } from '../../src/errors.ts';
import type { Logger } from '../../src/runtime/log.ts';
import { createLoop, type LoopOptions } from '../../src/runtime/loop.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';

function gate() {
  let open!: () => void;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

function setup(options: Partial<LoopOptions> = {}) {
  const clock = createManualClock();
  const lines: { level: string; fields: Record<string, unknown>; message: string }[] = [];
  const line = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, fields: { ...fields }, message });
  const log: Logger = {
    debug: line('debug'),
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
    child: () => log,
  };
  const ticks: number[] = [];
  const loop = createLoop({
    name: 'test',
    clock,
    log,
    tick: async () => (ticks.push(clock.monotonic()), 100),
    onError: () => 500,
    ...options,
  });
  return { clock, loop, ticks, lines };
}

describe('createLoop', () => {
  test('ticks, waits as long as the tick said, and ticks again', async () => {
    const { clock, loop, ticks } = setup();
    await loop.start();
    await clock.whenSleeping();
    await clock.advance(250);
    await loop.stop();
    expect(ticks).toEqual([0, 100, 200]);
  });

  test('starting twice makes one loop; stopping before start and twice is fine; it can be started again', async () => {
    const { clock, loop, ticks } = setup();
    await loop.stop();
    await loop.start();
    await loop.start();
    await clock.whenSleeping();
    expect(ticks).toEqual([0]);
    await Promise.all([loop.stop(), loop.stop()]);
    await loop.stop();
    expect(clock.sleeping).toBe(0);
    await clock.advance(1000);
    expect(ticks).toEqual([0]);
    await loop.start();
    await clock.whenSleeping();
    await loop.stop();
    expect(ticks).toEqual([0, 1000]);
  });

  test('a soft stop waits for the tick and leaves its signal alone', async () => {
    const entered = gate();
    const release = gate();
    let aborted: boolean | undefined;
    const { loop } = setup({
      async tick(signal) {
        entered.open();
        await release.opened;
        aborted = signal.aborted;
        return 0;
      },
    });
    await loop.start();
    await entered.opened;
    const stopping = loop.stop({ signal: new AbortController().signal });
    const turn = new Promise((resolve) => setImmediate(resolve, 'still ticking'));
    expect(await Promise.race([stopping, turn])).toBe('still ticking');
    release.open();
    await stopping;
    expect(aborted).toBe(false);
  });

  test.each(['before', 'after'])('a hard stop aborts the tick; the signal aborting %s stop is called', async (when) => {
    const entered = gate();
    const { loop, lines } = setup({
      tick: (signal) =>
        new Promise((_, reject) => {
          entered.open();
          signal.addEventListener('abort', () => reject(signal.reason as Error));
        }),
      onError: () => {
        throw new Error('an aborted tick is no failure');
      },
    });
    await loop.start();
    await entered.opened;
    const deadline = new AbortController();
    if (when === 'before') deadline.abort();
    const stopping = loop.stop({ signal: deadline.signal });
    deadline.abort();
    await stopping;
    expect(lines.map((line) => line.level)).toEqual(['debug']);
  });

  test('a failed tick is logged with its code, told to onError with the count in a row, and does not end the loop', async () => {
    const told: number[] = [];
    let round = 0;
    const { clock, loop, lines } = setup({
      async tick() {
        round += 1;
        if (round === 3) return 100;
        throw new HoldfastError('HF_DATABASE_UNAVAILABLE', 'gone');
      },
      onError: (_, failures) => (told.push(failures), 500),
    });
    await loop.start();
    await clock.whenSleeping();
    await clock.advance(1100);
    await loop.stop();
    expect(told).toEqual([1, 2, 1]);
    expect(lines[0]).toMatchObject({ level: 'error', fields: { code: 'HF_DATABASE_UNAVAILABLE', loop: 'test' } });
  });

  test('an onError that throws does not end the loop either', async () => {
    let rounds = 0;
    const { clock, loop } = setup({
      tick: () => ((rounds += 1), Promise.reject(new Error('tick'))),
      onError: () => {
        throw new Error('handler');
      },
    });
    await loop.start();
    await clock.whenSleeping();
    await clock.advance(1000);
    await loop.stop();
    expect(rounds).toBe(2);
  });

  test('a tick that throws before its promise is a failure like any other', async () => {
    const { clock, loop, lines } = setup({
      tick: () => {
        throw new Error('at once');
      },
    });
    await loop.start();
    await clock.whenSleeping();
    await loop.stop();
    expect(lines).toHaveLength(1);
  });

  test('wake ends the wait now', async () => {
    const { clock, loop, ticks } = setup({ tick: async () => (ticks.push(clock.monotonic()), Infinity) });
    await loop.start();
    await clock.whenSleeping();
    await clock.advance(7);
    loop.wake();
    await clock.whenSleeping();
    await loop.stop();
    expect(ticks).toEqual([0, 7]);
  });

  test('a wake during a tick cancels the wait after it', async () => {
    let rounds = 0;
    const { clock, loop } = setup({
      async tick() {
        rounds += 1;
        if (rounds === 1) loop.wake();
        return Infinity;
      },
    });
    await loop.start();
    await clock.whenSleeping();
    await loop.stop();
    expect(rounds).toBe(2);
  });

  test('tick() runs one tick without a start, and rejects with its error after onError was told', async () => {
    const { loop, ticks } = setup();
    await loop.tick();
    expect(ticks).toEqual([0]);
    const told: unknown[] = [];
    const error = new Error('broken');
    const broken = setup({ tick: () => Promise.reject(error), onError: (cause) => (told.push(cause), 0) });
    await expect(broken.loop.tick()).rejects.toBe(error);
    expect(told).toEqual([error]);
  });

  test('tick() never overlaps a tick of the loop, nor another tick()', async () => {
    let inside = 0;
    let most = 0;
    let rounds = 0;
    const { clock, loop } = setup({
      async tick() {
        inside += 1;
        rounds += 1;
        most = Math.max(most, inside);
        await new Promise((resolve) => setImmediate(resolve));
        inside -= 1;
        return 10;
      },
    });
    await loop.start();
    await Promise.all([loop.tick(), loop.tick()]);
    await clock.whenSleeping();
    await loop.stop();
    expect(rounds).toBeGreaterThanOrEqual(3);
    expect(most).toBe(1);
  });

  test('tick() works after a hard stop', async () => {
    const { loop } = setup({ tick: async (signal) => (signal.throwIfAborted(), 0) });
    await loop.start();
    await loop.stop({ signal: AbortSignal.abort() });
    await expect(loop.tick()).resolves.toBeUndefined();
  });

  test('stop waits for a tick() under way, started or not', async () => {
    const entered = gate();
    const release = gate();
    let finished = false;
    const { loop } = setup({
      async tick() {
        entered.open();
        await release.opened;
        finished = true;
        return 0;
      },
    });
    const ticking = loop.tick();
    await entered.opened;
    const finishedAtStop = loop.stop().then(() => finished);
    await new Promise((resolve) => setImmediate(resolve));
    release.open();
    expect(await finishedAtStop).toBe(true);
    await ticking;
  });

  test('ticks without a wait leave room for timers', async () => {
    let rounds = 0;
    const { loop } = setup({ tick: async () => ((rounds += 1), 0) });
    await loop.start();
    // A loop that left no room would never let this go on.
    while (rounds < 2) await new Promise((resolve) => setTimeout(resolve, 1));
    await loop.stop();
    expect(rounds).toBeGreaterThan(1);
  });
});
