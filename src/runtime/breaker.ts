/**
 * The circuit breaker in front of each destination: after failures in a row it lets nothing through for a while,
 * then tries with one call (half-open) before it lets everybody in again. Used by the relay.
 * cockatiel does the work; its types stay in this file.
 */
import {
  BrokenCircuitError,
  CircuitState,
  ConsecutiveBreaker,
  circuitBreaker,
  handleWhen,
  type IBackoffFactory,
} from 'cockatiel';
import { HoldfastError } from '../errors.ts';
import { systemClock, type Clock } from './clock.ts';

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
  const {
    name,
    halfOpenAfterMs,
    consecutiveFailures = 5,
    probe,
    isFailure = () => true,
    clock = systemClock,
  } = options;
  if (!(halfOpenAfterMs >= 0))
    throw new HoldfastError('HF_CONFIG', `Breaker ${name}: halfOpenAfterMs is ${halfOpenAfterMs}.`, {
      advice: 'Give milliseconds from 0 on.',
    });
  if (!Number.isInteger(consecutiveFailures) || consecutiveFailures < 1) {
    throw new HoldfastError('HF_CONFIG', `Breaker ${name}: consecutiveFailures is ${consecutiveFailures}.`, {
      advice: 'Give a whole number from 1 on.',
    });
  }

  let openedAtMs = 0;
  let lastFailure: unknown;
  const openForMs = (): number =>
    policy.state === CircuitState.Open ? Math.max(0, openedAtMs + halfOpenAfterMs - clock.monotonic()) : 0;

  // cockatiel compares `Date.now() - openedAt` with the duration of this backoff. Answering "long ago" or "never"
  // makes it follow our clock instead, which never jumps and which tests move by hand.
  const byOurClock: IBackoffFactory<unknown> & { readonly duration: number } = {
    get duration() {
      return openForMs() === 0 ? -Infinity : Infinity;
    },
    next: () => byOurClock,
  };
  const policy = circuitBreaker(
    handleWhen((error) => isFailure(error)),
    { halfOpenAfter: byOurClock, breaker: new ConsecutiveBreaker(consecutiveFailures) },
  );
  policy.onBreak((reason) => {
    openedAtMs = clock.monotonic();
    lastFailure = 'error' in reason ? reason.error : undefined;
  });

  const execute = async <T>(fn: () => Promise<T>): Promise<T> => {
    try {
      return await policy.execute(fn);
    } catch (error) {
      if (error instanceof BrokenCircuitError) throw new BreakerOpenError(name, openForMs(), lastFailure);
      throw error;
    }
  };
  return {
    name,
    get state() {
      return stateOf(policy.state);
    },
    get openForMs() {
      return openForMs();
    },
    get lastFailure() {
      return lastFailure;
    },
    async run(fn) {
      if (probe !== undefined && policy.state === CircuitState.Open && openForMs() === 0) await execute(probe);
      return execute(fn);
    },
    onStateChange(listener) {
      let previous = stateOf(policy.state);
      policy.onStateChange((changed) => {
        const from = previous;
        previous = stateOf(changed);
        // A listener that throws would otherwise reject the call that happened to change the state.
        try {
          listener(previous, from);
        } catch {
          // Listeners log and count; there is nobody to tell.
        }
      });
    },
  };
}

function stateOf(state: CircuitState): BreakerState {
  if (state === CircuitState.Closed) return 'closed';
  return state === CircuitState.HalfOpen ? 'half-open' : 'open';
}
