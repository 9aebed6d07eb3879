import { describe, expect, test } from 'vitest';
import { isHoldfastError } from '../../src/errors.ts';
import { BreakerOpenError, createBreaker, isBreakerOpen, type BreakerOptions } from '../../src/runtime/breaker.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';

function setup(options: Partial<BreakerOptions> = {}) {
  const clock = createManualClock();
  const breaker = createBreaker({ name: 'redis', halfOpenAfterMs: 1000, consecutiveFailures: 3, clock, ...options });
  const changes: string[] = [];
  breaker.onStateChange((state, previous) => changes.push(`${previous} -> ${state}`));
  const down = new Error('connection refused');
  const fail = () => expect(breaker.run(() => Promise.reject(down))).rejects.toBe(down);
  const refused = () => expect(breaker.run(() => Promise.resolve('called'))).rejects.toBeInstanceOf(BreakerOpenError);
  return { clock, breaker, changes, fail, refused, down };
}

describe('createBreaker', () => {
  test('opens after failures in a row, and only in a row', async () => {
    const { breaker, fail } = setup();
    await fail();
    await fail();
    await breaker.run(() => Promise.resolve());
    await fail();
    await fail();
    expect(breaker.state).toBe('closed');
    await fail();
    expect(breaker.state).toBe('open');
  });

  test('while open it calls nothing and rejects with an error of its own', async () => {
    const { breaker, fail, down } = setup({ consecutiveFailures: 1 });
    await fail();
    let called = false;
    const error: unknown = await breaker
      .run(async () => {
        called = true;
      })
      .catch((caught: unknown) => caught);
    expect(called).toBe(false);
    expect(isHoldfastError(error, 'HF_TRANSPORT_UNAVAILABLE')).toBe(true);
    expect(error).toMatchObject({ details: { breaker: 'open', name: 'redis', retryInMs: 1000 }, cause: down });
    expect(isBreakerOpen(error)).toBe(true);
    expect(isBreakerOpen(down)).toBe(false);
    expect(breaker.lastFailure).toBe(down);
  });

  test('tries with one call after the wait, by the clock it was given', async () => {
    const { breaker, clock, changes, fail, refused } = setup({ consecutiveFailures: 1 });
    await fail();
    await clock.advance(999);
    expect(breaker.openForMs).toBe(1);
    await refused();
    await clock.advance(1);
    expect(breaker.openForMs).toBe(0);
    await fail();
    expect(breaker.state).toBe('open');
    expect(breaker.openForMs).toBe(1000);
    await refused();
    await clock.advance(1000);
    expect(await breaker.run(() => Promise.resolve('back'))).toBe('back');
    expect(changes).toEqual([
      'closed -> open',
      'open -> half-open',
      'half-open -> open',
      'open -> half-open',
      'half-open -> closed',
    ]);
  });

  test('callers that come during the try wait for it and share its end', async () => {
    const { breaker, clock, fail } = setup({ consecutiveFailures: 1 });
    await fail();
    await clock.advance(1000);
    const trial = withResolvers();
    const calls: string[] = [];
    const first = breaker.run(() => (calls.push('first'), trial.promise));
    const second = breaker.run(async () => void calls.push('second'));
    expect(breaker.state).toBe('half-open');
    expect(calls).toEqual(['first']);
    trial.reject(new Error('still down'));
    await expect(first).rejects.toThrow('still down');
    await expect(second).rejects.toBeInstanceOf(BreakerOpenError);
    expect(calls).toEqual(['first']);
  });

  test('with a probe, real work waits for its success', async () => {
    let up = false;
    let probes = 0;
    const probe = async () => {
      probes += 1;
      if (!up) throw new Error('probe failed');
    };
    const { breaker, clock, fail } = setup({ consecutiveFailures: 1, probe });
    await fail();
    expect(probes).toBe(0);
    await clock.advance(1000);
    await expect(breaker.run(() => Promise.resolve('work'))).rejects.toThrow('probe failed');
    expect(breaker.state).toBe('open');
    up = true;
    await clock.advance(1000);
    expect(await breaker.run(() => Promise.resolve('work'))).toBe('work');
    expect(probes).toBe(2);
    await breaker.run(() => Promise.resolve('work'));
    expect(probes).toBe(2);
  });

  test('errors that say nothing about the destination do not open it', async () => {
    const { breaker, fail } = setup({
      consecutiveFailures: 1,
      isFailure: (error) => (error as Error).message !== 'connection refused',
    });
    await fail();
    expect(breaker.state).toBe('closed');
  });

  test('a listener that throws harms nobody', async () => {
    const { breaker, fail } = setup({ consecutiveFailures: 1 });
    breaker.onStateChange(() => {
      throw new Error('listener');
    });
    await fail();
    expect(breaker.state).toBe('open');
  });

  test.each([
    { halfOpenAfterMs: -1 },
    { halfOpenAfterMs: Number.NaN },
    { consecutiveFailures: 0 },
    { consecutiveFailures: 1.5 },
  ])('%j is refused', (options) => {
    expect(() => setup(options)).toThrowError(expect.objectContaining({ code: 'HF_CONFIG' }));
  });
});

function withResolvers() {
  let reject!: (error: Error) => void;
  const promise = new Promise<void>((_, no) => {
    reject = no;
  });
  return { promise, reject };
}
