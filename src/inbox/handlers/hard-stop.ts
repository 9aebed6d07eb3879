/**
 * Stops waiting for background work that a hard stop cannot reach.
 */
import { HoldfastError } from '../../errors.ts';
import type { Clock } from '../../runtime/clock.ts';

/** Longer than a handler that takes no notice of its signal is waited for, and its connection cut; in milliseconds. */
const HARD_STOP_MS = 5_000;

/**
 * Settles as `work` does, or rejects with HF_STOPPED some time after `signal` aborts: a server that has stopped answering keeps a
 * statement waiting for as long as TCP does. What was begun ends by itself: it is rolled back, or its mark tells.
 */
export function abandonAtHardStop<T>(work: Promise<T>, signal: AbortSignal, clock: Clock): Promise<T> {
  return new Promise((resolve, reject) => {
    const settled = new AbortController();
    const leave = async (): Promise<void> => {
      await clock.sleep(HARD_STOP_MS, settled.signal);
      reject(new HoldfastError('HF_STOPPED', 'The consumer was stopped before its database answered.'));
    };
    const onAbort = (): void => void leave();
    const letGo = (): void => {
      settled.abort();
      signal.removeEventListener('abort', onAbort);
    };
    work.then(
      (value) => {
        resolve(value);
        letGo();
      },
      (error: unknown) => {
        reject(error);
        letGo();
      },
    );
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort);
  });
}
