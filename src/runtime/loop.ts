/**
 * The one loop that every long-running part is made of: a tick, a wait, and a stop that is soft first and hard second.
 * Used by the relay, the pruner, and the consumers' background work.
 */
// By name, so that a test's fake timers, which replace the globals, do not stop what is to move them.
import { setImmediate } from 'node:timers';
import { isHoldfastError } from '../errors.ts';
import type { Clock } from './clock.ts';
import { createLifecycle } from './lifecycle.ts';
import type { Logger } from './log.ts';
import { inNoContext } from './scope.ts';
import type { Service } from './service.ts';

export interface LoopOptions {
  /** For logs. */
  readonly name: string;
  readonly clock: Clock;
  readonly log: Logger;
  /**
   * One round of work. Resolves with the milliseconds to wait before the next one; 0 for at once, Infinity for "until woken".
   * Must settle soon after `signal` aborts (the hard stop).
   */
  readonly tick: (signal: AbortSignal) => Promise<number>;
  /** Told of every failed tick; answers how long to wait, in milliseconds. `consecutiveFailures` is 1 at the first. */
  readonly onError: (error: unknown, consecutiveFailures: number) => number;
}

export interface Loop extends Service {
  /**
   * Runs one tick now, for tests and for "do it now" commands, started or not. Never overlaps another tick of this loop.
   * Rejects when the tick fails, after `onError` was told.
   */
  tick(): Promise<void>;
  /** Ends the current wait now. Called during a tick, it cancels the wait after it, so that no wake-up is lost. */
  wake(): void;
}

/** The wait when `onError` itself throws, in milliseconds. */
const FALLBACK_DELAY_MS = 1000;

export function createLoop(options: LoopOptions): Loop {
  const { name, clock, log } = options;
  let woken = false;
  let failures = 0;
  let wait = new AbortController();
  /** The tail of the queue of ticks; never rejects. */
  let lastTick: Promise<unknown> = Promise.resolve();

  type Outcome = { readonly delayMs: number; readonly failure: { readonly error: unknown } | null };

  async function oneTick(): Promise<Outcome> {
    const { hard } = lifecycle.run;
    woken = false;
    try {
      const delayMs = await options.tick(hard.signal);
      failures = 0;
      return { delayMs, failure: null };
    } catch (error) {
      if (hard.signal.aborted) {
        log.debug({ loop: name, err: error }, 'tick aborted by a hard stop');
        return { delayMs: 0, failure: { error } };
      }
      failures += 1;
      log.error(
        { loop: name, err: error, code: isHoldfastError(error) ? error.code : undefined, failures },
        'tick failed',
      );
      return { delayMs: delayAfter(error), failure: { error } };
    }
  }

  function delayAfter(error: unknown): number {
    try {
      return options.onError(error, failures);
    } catch (second) {
      log.error({ loop: name, err: second }, 'the error handler of the loop failed');
      return FALLBACK_DELAY_MS;
    }
  }

  function queueTick(): Promise<Outcome> {
    const outcome = lastTick.then(oneTick);
    lastTick = outcome;
    return outcome;
  }

  async function pause(delayMs: number): Promise<void> {
    // Always through the event loop, so that ticks without a wait cannot starve timers and sockets.
    if (!(delayMs > 0)) return void (await new Promise((resolve) => setImmediate(resolve)));
    if (woken || lifecycle.run.stopping) return;
    wait = new AbortController();
    await clock.sleep(delayMs, wait.signal);
  }

  async function go(run: Run): Promise<void> {
    while (!run.stopping) {
      const { delayMs } = await queueTick();
      if (!run.stopping) await pause(delayMs);
    }
  }

  const lifecycle = createLifecycle<Run>({
    make: () => ({ hard: new AbortController(), stopping: false, ticking: null }),
    async start(run) {
      // Its own context, and not that of whoever has started it.
      run.ticking = inNoContext(() => go(run));
    },
    async stop(run, { signal }) {
      run.stopping = true;
      wait.abort();
      const abort = (): void => run.hard.abort(signal.reason);
      if (signal.aborted) abort();
      signal.addEventListener('abort', abort, { once: true });
      try {
        await run.ticking;
        await lastTick;
      } finally {
        signal.removeEventListener('abort', abort);
      }
    },
  });

  return {
    start: lifecycle.start,
    stop: lifecycle.stop,
    async tick() {
      lifecycle.use();
      const { failure } = await queueTick();
      if (failure !== null) throw failure.error;
    },
    wake() {
      woken = true;
      wait.abort();
    },
  };
}

/** From a start to its stop. */
interface Run {
  readonly hard: AbortController;
  stopping: boolean;
  ticking: Promise<void> | null;
}
