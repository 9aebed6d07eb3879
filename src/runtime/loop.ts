/**
 * The one loop that every long-running part is made of: a tick, a wait, and a stop that is soft first and hard second.
 */
// By name, so that a test's fake timers, which replace the globals, do not stop what is to move them.
import { setImmediate } from 'node:timers';
import { isHoldfastError } from '../errors.ts';
import type { Clock } from './clock.ts';
import { createLifecycle, type Lifecycle } from './lifecycle.ts';
import type { Logger } from './log.ts';
import { inNoContext } from './scope.ts';
import type { Service, StopOptions } from './service.ts';

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
  return new TickingLoop(options);
}

/** From a start to its stop. */
interface LoopRun {
  readonly hard: AbortController;
  stopping: boolean;
  ticking: Promise<void> | null;
}

interface Outcome {
  readonly delayMs: number;
  readonly failure: { readonly error: unknown } | null;
}

class TickingLoop implements Loop {
  readonly #options: LoopOptions;
  readonly #lifecycle: Lifecycle<LoopRun>;
  /** Woken since the last tick began. */
  #woken = false;
  /** In a row. */
  #failures = 0;
  #wait = new AbortController();
  /** The tail of the queue of ticks; never rejects. */
  #lastTick: Promise<unknown> = Promise.resolve();

  constructor(options: LoopOptions) {
    this.#options = options;
    this.#lifecycle = createLifecycle<LoopRun>({
      make: () => ({ hard: new AbortController(), stopping: false, ticking: null }),
      start: async (run) => {
        // Its own context, and not that of whoever has started it.
        run.ticking = inNoContext(() => this.#go(run));
      },
      stop: (run, { signal }) => this.#stopRun(run, signal),
    });
  }

  start(): Promise<void> {
    return this.#lifecycle.start();
  }

  stop(options?: StopOptions): Promise<void> {
    return this.#lifecycle.stop(options);
  }

  async tick(): Promise<void> {
    this.#lifecycle.use();
    const { failure } = await this.#queueTick();
    if (failure !== null) throw failure.error;
  }

  wake(): void {
    this.#woken = true;
    // With a reason: without one the platform makes an exception with a stack, and a busy relay is woken for each message.
    this.#wait.abort('woken');
  }

  async #go(run: LoopRun): Promise<void> {
    while (!run.stopping) {
      const { delayMs } = await this.#queueTick();
      if (!run.stopping) await this.#pause(delayMs);
    }
  }

  #queueTick(): Promise<Outcome> {
    const outcome = this.#lastTick.then(() => this.#tick());
    this.#lastTick = outcome;
    return outcome;
  }

  async #tick(): Promise<Outcome> {
    const { name, log, tick } = this.#options;
    const { hard } = this.#lifecycle.run;
    this.#woken = false;
    try {
      const delayMs = await tick(hard.signal);
      this.#failures = 0;
      return { delayMs, failure: null };
    } catch (error) {
      if (hard.signal.aborted) {
        log.debug({ loop: name, err: error }, 'tick aborted by a hard stop');
        return { delayMs: 0, failure: { error } };
      }
      this.#failures += 1;
      const code = isHoldfastError(error) ? error.code : undefined;
      log.error({ loop: name, err: error, code, failures: this.#failures }, 'tick failed');
      return { delayMs: this.#delayAfter(error), failure: { error } };
    }
  }

  #delayAfter(error: unknown): number {
    const { name, log, onError } = this.#options;
    try {
      return onError(error, this.#failures);
    } catch (second) {
      log.error({ loop: name, err: second }, 'the error handler of the loop failed');
      return FALLBACK_DELAY_MS;
    }
  }

  async #pause(delayMs: number): Promise<void> {
    // Always through the event loop, so that ticks without a wait cannot starve timers and sockets.
    if (!(delayMs > 0)) return void (await new Promise((resolve) => setImmediate(resolve)));
    if (this.#woken || this.#lifecycle.run.stopping) return;
    this.#wait = new AbortController();
    await this.#options.clock.sleep(delayMs, this.#wait.signal);
  }

  async #stopRun(run: LoopRun, signal: AbortSignal): Promise<void> {
    run.stopping = true;
    this.#wait.abort();
    const abort = (): void => run.hard.abort(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    try {
      await run.ticking;
      await this.#lastTick;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }
}
