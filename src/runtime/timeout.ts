/**
 * A time limit for one piece of work, by AbortSignal first and by walking away second. Used for every remote call
 * and for handlers.
 */
import { systemClock, type Clock } from './clock.ts';

export interface TimeoutOptions {
  /** Infinity: no limit of its own. */
  readonly timeoutMs: number;
  /** Ends the work from outside; the promise then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Makes the error for a timeout. It is also the reason of the signal that the work sees. */
  readonly onTimeout: () => Error;
  readonly clock?: Clock;
}

/** Nobody reads it. */
const FINISHED = 'finished';

/**
 * Runs `fn` and settles as it does, unless the time is up or `signal` aborts first. Then the signal given to `fn` aborts
 * and the promise rejects at once, even if `fn` takes no notice; what `fn` does after that is nobody's result, so a
 * timeout means "outcome unknown", not "failed".
 */
export async function withTimeout<T>(fn: (signal: AbortSignal) => Promise<T>, options: TimeoutOptions): Promise<T> {
  const { timeoutMs, signal, onTimeout, clock = systemClock } = options;
  signal?.throwIfAborted();
  const work = new AbortController();
  const finished = new AbortController();
  const ended = new Promise<never>((_, reject) => {
    const end = (cause: unknown): void => {
      if (finished.signal.aborted) return;
      // Signals may be aborted with anything; promises are rejected with errors.
      const reason = cause instanceof Error ? cause : new Error(String(cause));
      work.abort(reason);
      reject(reason);
    };
    signal?.addEventListener('abort', () => end(signal.reason), { once: true, signal: finished.signal });
    if (timeoutMs !== Infinity)
      void clock.sleep(timeoutMs, finished.signal).then(() => (finished.signal.aborted ? undefined : end(onTimeout())));
  });
  try {
    return await Promise.race([fn(work.signal), ended]);
  } finally {
    // With a reason: without one the platform makes an exception with a stack, for each call of each message.
    finished.abort(FINISHED);
  }
}
