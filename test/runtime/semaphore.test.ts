import { describe, expect, it } from 'vitest';
import { createSemaphore } from '../../src/runtime/semaphore.ts';

describe('createSemaphore', () => {
  it('gives slots in turn, and none after the signal', async () => {
    const stop = new AbortController();
    const slots = createSemaphore(1);
    const free = await slots.acquire(stop.signal);
    const order: string[] = [];
    const second = slots.acquire(stop.signal).then((got) => {
      order.push('second');
      got!();
    });
    const third = slots.acquire(stop.signal).then((got) => {
      order.push('third');
      keep = got;
    });
    let keep: (() => void) | undefined;
    free!();
    await Promise.all([second, third]);
    expect(order).toEqual(['second', 'third']);
    const fourth = slots.acquire(stop.signal);
    stop.abort();
    expect(await fourth).toBeUndefined();
    keep!();
    expect(await slots.acquire(stop.signal)).toBeUndefined();
    expect(await slots.acquire(new AbortController().signal)).toBeTypeOf('function');
  });

  it('gives a slot at once where one is free and nobody has asked before', async () => {
    let more = 0;
    const slots = createSemaphore(1, () => more);
    const free = slots.take();
    expect([free, slots.take()]).toEqual([expect.any(Function), undefined]);
    const waiting = slots.acquire(new AbortController().signal);
    more = 1;
    expect(slots.take()).toBeUndefined();
    free!();
    await waiting;
    expect([slots.take(), slots.take()]).toEqual([expect.any(Function), undefined]);
  });

  it('gives more while there are more', async () => {
    let more = 2;
    const signal = new AbortController().signal;
    const slots = createSemaphore(1, () => more);
    const free = await Promise.all([slots.acquire(signal), slots.acquire(signal), slots.acquire(signal)]);
    let taken = 0;
    const waiting = [slots.acquire(signal), slots.acquire(signal)].map((each) => each.then(() => (taken += 1)));
    more = 0;
    free[0]!();
    free[1]!();
    await new Promise((resolve) => setImmediate(resolve));
    expect(taken).toBe(0);
    more = 1;
    free[2]!();
    await Promise.all(waiting);
    expect(taken).toBe(2);
  });

  it('gives so many slots, to whoever waits longest, also when one fails', async () => {
    const slots = createSemaphore(2);
    const gates = [gate(), gate(), gate(), gate()];
    const begun: number[] = [];
    const all = gates.map(({ promise }, n) =>
      slots
        .run(async () => {
          begun.push(n);
          await promise;
          return n;
        })
        .catch(() => -1),
    );
    expect(begun).toEqual([0, 1]);
    gates[1]?.fail(new Error('broken'));
    await all[1];
    await Promise.resolve();
    expect(begun).toEqual([0, 1, 2]);
    for (const { open } of gates) open();
    expect(await Promise.all(all)).toEqual([0, -1, 2, 3]);
  });
});

function gate(): {
  readonly promise: Promise<void>;
  readonly open: () => void;
  readonly fail: (error: unknown) => void;
} {
  let open = (): void => {};
  let fail: (error: unknown) => void = () => {};
  const promise = new Promise<void>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { promise, open, fail };
}
