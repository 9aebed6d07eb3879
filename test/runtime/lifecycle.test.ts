import { describe, expect, test } from 'vitest';
import { createLifecycle } from '../../src/runtime/lifecycle.ts';

interface Held {
  readonly what: string;
  readonly signal: AbortSignal | null;
  readonly go: () => void;
  readonly fail: (error: Error) => void;
}

/** Starts and stops that wait until the test says what becomes of them. */
function setup() {
  let runs = 0;
  const told: string[] = [];
  const held: Held[] = [];
  const wait = (what: string, signal: AbortSignal | null): Promise<void> => {
    told.push(what);
    return new Promise((resolve, reject) => held.push({ what, signal, go: resolve, fail: reject }));
  };
  const lifecycle = createLifecycle({
    make: () => (runs += 1),
    start: (run) => wait(`start ${run}`, null),
    stop: (run, { signal }) => wait(`stop ${run}`, signal),
  });
  /** The next call of a part, once it has been made. */
  async function next(): Promise<Held> {
    for (;;) {
      const call = held.shift();
      if (call !== undefined) return call;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  return { lifecycle, told, next };
}

const boom = new Error('boom');

describe('createLifecycle', () => {
  test('makes anew for each start what a stop uses up', async () => {
    const { lifecycle, told, next } = setup();
    for (let n = 1; n <= 3; n += 1) {
      const started = lifecycle.start();
      (await next()).go();
      await started;
      expect(lifecycle.run).toBe(n);
      const stopped = lifecycle.stop();
      (await next()).go();
      await stopped;
    }
    expect(told).toEqual(['start 1', 'stop 1', 'start 2', 'stop 2', 'start 3', 'stop 3']);
  });

  test('a call that asks for what was asked for last joins it; a stop before a start does nothing', async () => {
    const { lifecycle, told, next } = setup();
    await lifecycle.stop();
    const starts = [lifecycle.start(), lifecycle.start()];
    (await next()).go();
    await Promise.all(starts);
    await lifecycle.start();
    const stops = [lifecycle.stop(), lifecycle.stop()];
    (await next()).go();
    await Promise.all(stops);
    await lifecycle.stop();
    expect(told).toEqual(['start 1', 'stop 1']);
  });

  test('a start during a stop waits for it, and then starts', async () => {
    const { lifecycle, told, next } = setup();
    void lifecycle.start();
    (await next()).go();
    const stopped = lifecycle.stop();
    const stop = await next();
    const started = lifecycle.start();
    expect(told).toEqual(['start 1', 'stop 1']);
    stop.go();
    await stopped;
    (await next()).go();
    await started;
    expect(told).toEqual(['start 1', 'stop 1', 'start 2']);
  });

  test('a stop during a start ends it; what was asked for last holds', async () => {
    const { lifecycle, told, next } = setup();
    void lifecycle.start();
    const start = await next();
    const calls = [lifecycle.stop(), lifecycle.start(), lifecycle.stop()];
    start.go();
    for (let n = 0; n < 3; n += 1) (await next()).go();
    await Promise.all(calls);
    expect(told).toEqual(['start 1', 'stop 1', 'start 2', 'stop 2']);
  });

  test('a start that failed is ended at once, tells why, and can be repeated', async () => {
    const { lifecycle, told, next } = setup();
    const failing = Promise.allSettled([lifecycle.start(), lifecycle.start(), lifecycle.stop()]);
    (await next()).fail(boom);
    const stop = await next();
    expect(stop.signal?.aborted).toBe(true);
    // Not what clearing away met.
    stop.fail(new Error('another'));
    expect(await failing).toEqual([
      { status: 'rejected', reason: boom },
      { status: 'rejected', reason: boom },
      { status: 'fulfilled', value: undefined },
    ]);
    const again = lifecycle.start();
    (await next()).go();
    await again;
    expect(told).toEqual(['start 1', 'stop 1', 'start 2']);
  });

  test('a start can be repeated as soon as its failure is told', async () => {
    const { lifecycle, told, next } = setup();
    const first = lifecycle.start();
    const second = first.catch(() => lifecycle.start());
    (await next()).fail(boom);
    (await next()).go();
    (await next()).go();
    await second;
    expect(told).toEqual(['start 1', 'stop 1', 'start 2']);
  });

  test('a second stop makes the first one hard; a stop that fails is over as well', async () => {
    const { lifecycle, told, next } = setup();
    void lifecycle.start();
    (await next()).go();
    const soft = lifecycle.stop();
    const stop = await next();
    expect(stop.signal?.aborted).toBe(false);
    const hard = lifecycle.stop({ signal: AbortSignal.abort(boom) });
    expect(stop.signal?.reason).toBe(boom);
    stop.fail(boom);
    expect(await Promise.allSettled([soft, hard])).toEqual([
      { status: 'rejected', reason: boom },
      { status: 'rejected', reason: boom },
    ]);
    void lifecycle.start();
    (await next()).go();
    expect(told).toEqual(['start 1', 'stop 1', 'start 2']);
  });

  test('what was used without a start is ended by a stop, and made anew for the next use', async () => {
    const { lifecycle, told, next } = setup();
    expect(lifecycle.use()).toBe(1);
    const stopped = lifecycle.stop();
    (await next()).go();
    await stopped;
    expect(lifecycle.run).toBe(1);
    expect(lifecycle.use()).toBe(2);
    expect(told).toEqual(['stop 1']);
  });
});
