/**
 * The circuit breaker in front of each destination: after failures in a row it lets nothing through for a while,
 * then tries with one call (half-open) before it lets everybody in again.
 * cockatiel does the work; its types stay in this file.
 */
import {
  BrokenCircuitError,
  CircuitState,
  ConsecutiveBreaker,
  circuitBreaker,
  handleWhen,
  type CircuitBreakerPolicy,
  type IBackoffFactory,
} from 'cockatiel';
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
  return new CockatielBreaker(options, consecutiveFailures);
}

class CockatielBreaker implements Breaker {
  readonly name: string;
  readonly #options: BreakerOptions;
  readonly #clock: Clock;
  readonly #policy: CircuitBreakerPolicy;
  #openedAtMs = 0;
  #lastFailure: unknown;

  constructor(options: BreakerOptions, consecutiveFailures: number) {
    const { isFailure = () => true } = options;
    this.name = options.name;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#policy = circuitBreaker(
      handleWhen((error) => isFailure(error)),
      { halfOpenAfter: this.#byOurClock(), breaker: new ConsecutiveBreaker(consecutiveFailures) },
    );
    this.#policy.onBreak((reason) => {
      this.#openedAtMs = this.#clock.monotonic();
      this.#lastFailure = 'error' in reason ? reason.error : undefined;
    });
  }

  get state(): BreakerState {
    return stateOf(this.#policy.state);
  }

  get openForMs(): number {
    if (this.#policy.state !== CircuitState.Open) return 0;
    return Math.max(0, this.#openedAtMs + this.#options.halfOpenAfterMs - this.#clock.monotonic());
  }

  get lastFailure(): unknown {
    return this.#lastFailure;
  }

  async run<T>(fn: () => Promise<T>): Promise<T> {
    const { probe } = this.#options;
    if (probe !== undefined && this.#policy.state === CircuitState.Open && this.openForMs === 0)
      await this.#execute(probe);
    return this.#execute(fn);
  }

  onStateChange(listener: (state: BreakerState, previous: BreakerState) => void): void {
    let previous = this.state;
    this.#policy.onStateChange((changed) => {
      const from = previous;
      previous = stateOf(changed);
      // A listener that throws would otherwise reject the call that happened to change the state.
      try {
        listener(previous, from);
      } catch {
        // Listeners log and count; there is nobody to tell.
      }
    });
  }

  async #execute<T>(fn: () => Promise<T>): Promise<T> {
    try {
      return await this.#policy.execute(fn);
    } catch (error) {
      if (error instanceof BrokenCircuitError) throw new BreakerOpenError(this.name, this.openForMs, this.#lastFailure);
      throw error;
    }
  }

  /**
   * cockatiel compares `Date.now() - openedAt` with the duration of this backoff. Answering "long ago" or "never" makes it follow our
   * clock instead, which never jumps and which tests move by hand.
   */
  #byOurClock(): IBackoffFactory<unknown> & { readonly duration: number } {
    const isOver = () => this.openForMs === 0;
    const backoff = {
      get duration() {
        return isOver() ? -Infinity : Infinity;
      },
      next: () => backoff,
    };
    return backoff;
  }
}

function stateOf(state: CircuitState): BreakerState {
  if (state === CircuitState.Closed) return 'closed';
  return state === CircuitState.HalfOpen ? 'half-open' : 'open';
}
