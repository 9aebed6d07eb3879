/**
 * Runs a request handler for as long as it may take: its signal aborts first, and what takes no notice is left behind a moment later.
 */
import { HoldfastError } from '../../errors.ts';
import { HANDLER_GRACE_MS } from '../../inbox/handlers/handler-run.ts';
import type { Deadlines } from '../../runtime/deadlines.ts';

export type LimitedRun<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'failed'; readonly error: unknown }
  /** `hung`: it still runs. */
  | { readonly kind: 'timeout'; readonly error: HoldfastError; readonly hung: boolean };

export interface HandlerLimit {
  readonly timeoutMs: number;
  readonly deadlines: Deadlines;
}

/** Never rejects. What the handler answers after its time is up counts for nothing. */
export function runLimited<T>(
  handler: (signal: AbortSignal) => Promise<T> | T,
  { timeoutMs, deadlines }: HandlerLimit,
): Promise<LimitedRun<T>> {
  return new Promise((resolve) => {
    const controller = new AbortController();
    let late: HoldfastError | null = null;
    let cancel = deadlines.add(timeoutMs, () => {
      const error = timedOut(timeoutMs);
      late = error;
      cancel = deadlines.add(HANDLER_GRACE_MS, () => resolve({ kind: 'timeout', error, hung: true }));
      controller.abort(error);
    });
    const settle = (run: LimitedRun<T>): void => {
      cancel();
      resolve(late === null ? run : { kind: 'timeout', error: late, hung: false });
    };
    (async () => handler(controller.signal))().then(
      (value) => settle({ kind: 'done', value }),
      (error: unknown) => settle({ kind: 'failed', error }),
    );
  });
}

function timedOut(timeoutMs: number): HoldfastError {
  return new HoldfastError('HF_HANDLER_TIMEOUT', `The handler of the request did not answer within ${timeoutMs} ms.`, {
    advice: 'Nothing of it is kept: send the request again, with the same key.',
    details: { timeoutMs },
  });
}
