/**
 * The circuit breaker in front of each destination: after failures in a row it lets nothing through for a while,
 * then tries with one call (half-open) before it lets everybody in again.
 */
import { HoldfastError } from '../errors.ts';
import { systemClock, type Clock } from './clock.ts';
import { badOption } from './options.ts';

export type BreakerState = 'closed' | 'open' | 'half-open';

export interface BreakerOptions {
  /** What it protects, for errors and logs. */
  readonly name: string;
  /** How long it stays open before it tries again, in milliseconds. */
  readonly halfOpenAfterMs: number;
  /** Failures in a row that open it. Default 5. */
  readonly consecutiveFailures?: number;
  /** Run instead of real work to find out whether the destination is back. Without it, the next real call is the try. */
  readonly probe?: () => Promise<void>;
  /** Which rejections count as a failure of the destination. Default: all. The others count neither way. */
  readonly isFailure?: (error: unknown) => boolean;
  readonly clock?: Clock;
}

export interface Breaker {
  readonly name: string;
  /** It goes from `open` to `half-open` only when somebody calls `run` after the wait. */
  readonly state: BreakerState;
  /** Milliseconds until `run` will try again; 0 when it would do so now. */
  readonly openForMs: number;
  /** The last failure that counted. */
  readonly lastFailure: unknown;
  /** Rejects with BreakerOpenError, without calling `fn`, while open; otherwise settles as `fn` does. */
  run<T>(fn: () => Promise<T>): Promise<T>;
  onStateChange(listener: (state: BreakerState, previous: BreakerState) => void): void;
}

/** The breaker is open: nothing was sent. Code HF_TRANSPORT_UNAVAILABLE with `details.breaker === 'open'`. */
export class BreakerOpenError extends HoldfastError {
  override readonly name = 'BreakerOpenError';
  constructor(breaker: string, retryInMs: number, cause: unknown) {
    super(
      'HF_TRANSPORT_UNAVAILABLE',
      `${breaker} has failed repeatedly and is not tried for another ${Math.ceil(retryInMs)} ms.`,
      {
        advice: 'Nothing is lost; it goes on by itself once the other side answers.',
        cause,
        details: { breaker: 'open', name: breaker, retryInMs },
      },
    );
  }
}

/** True also across copies of the package. */
export function isBreakerOpen(error: unknown): boolean {
  return (
    error instanceof Error &&
    'details' in error &&
    (error.details as { breaker?: unknown } | undefined)?.breaker === 'open'
  );
}

/** @throws HoldfastError HF_CONFIG */
export function createBreaker(options: BreakerOptions): Breaker {
  const { name, halfOpenAfterMs, consecutiveFailures = 5 } = options;
  if (!(halfOpenAfterMs >= 0))
    throw badOption(`Breaker ${name}:`, `halfOpenAfterMs is ${halfOpenAfterMs}`, 'Give milliseconds from 0 on.');
  if (!Number.isInteger(consecutiveFailures) || consecutiveFailures < 1)
    throw badOption(
      `Breaker ${name}:`,
      `consecutiveFailures is ${consecutiveFailures}`,
      'Give a whole number from 1 on.',
    );
  return new ConsecutiveBreaker(options, consecutiveFailures);
}

type Inside =
  | { readonly state: 'closed'; failures: number }
  | { readonly state: 'open'; readonly sinceMs: number }
  /** `trial` resolves when it is known how the try ended. */
  | { readonly state: 'half-open'; readonly trial: Promise<void> };

class ConsecutiveBreaker implements Breaker {
  readonly name: string;
  readonly #options: BreakerOptions;
  readonly #clock: Clock;
  readonly #mostFailures: number;
  readonly #listeners: ((state: BreakerState, previous: BreakerState) => void)[] = [];
  #inside: Inside = { state: 'closed', failures: 0 };
  #lastFailure: unknown;

  constructor(options: BreakerOptions, mostFailures: number) {
    this.name = options.name;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#mostFailures = mostFailures;
  }

  get state(): BreakerState {
    return this.#inside.state;
  }

  get openForMs(): number {
    if (this.#inside.state !== 'open') return 0;
    return Math.max(0, this.#inside.sinceMs + this.#options.halfOpenAfterMs - this.#clock.monotonic());
  }

  get lastFailure(): unknown {
    return this.#lastFailure;
  }

  async run<T>(fn: () => Promise<T>): Promise<T> {
    for (;;) {
      const inside = this.#inside;
      if (inside.state === 'closed') return this.#runClosed(inside, fn);
      if (inside.state === 'half-open') await inside.trial;
      else if (this.openForMs > 0) throw new BreakerOpenError(this.name, this.openForMs, this.#lastFailure);
      else if (this.#options.probe === undefined) return this.#try(fn);
      else await this.#try(this.#options.probe);
    }
  }

  onStateChange(listener: (state: BreakerState, previous: BreakerState) => void): void {
    this.#listeners.push(listener);
  }

  async #runClosed<T>(inside: Inside & { state: 'closed' }, fn: () => Promise<T>): Promise<T> {
    try {
      const value = await fn();
      inside.failures = 0;
      return value;
    } catch (error) {
      // What began before it opened says nothing new when it fails afterwards.
      if (this.#isFailure(error) && this.#inside === inside) {
        inside.failures += 1;
        if (inside.failures >= this.#mostFailures) this.#open(error);
      }
      throw error;
    }
  }

  /** The one call that finds out. An error that does not count says that the destination is there. */
  async #try<T>(fn: () => Promise<T>): Promise<T> {
    let known = (): void => {};
    const trial = new Promise<void>((resolve) => {
      known = resolve;
    });
    this.#enter({ state: 'half-open', trial });
    try {
      const value = await fn();
      this.#enter({ state: 'closed', failures: 0 });
      return value;
    } catch (error) {
      if (this.#isFailure(error)) this.#open(error);
      else this.#enter({ state: 'closed', failures: 0 });
      throw error;
    } finally {
      known();
    }
  }

  #isFailure(error: unknown): boolean {
    return this.#options.isFailure?.(error) ?? true;
  }

  #open(error: unknown): void {
    this.#lastFailure = error;
    this.#enter({ state: 'open', sinceMs: this.#clock.monotonic() });
  }

  #enter(next: Inside): void {
    const previous = this.#inside.state;
    this.#inside = next;
    for (const listener of this.#listeners) {
      // One that throws would otherwise reject the call that happened to change the state.
      try {
        listener(next.state, previous);
      } catch {
        // Listeners log and count; there is nobody to tell.
      }
    }
  }
}
