/**
 * Runs what users wrote: one attempt of a step, of a compensation, of a check or a fallback, with its time limit, its signal and its
 * key. Says how it ended; never rejects.
 */
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import { isPermanent } from '../../runtime/retry.ts';
import { inScope } from '../../runtime/scope.ts';
import { lookable } from '../../runtime/thrown.ts';
import { encodeOutput } from '../protocol/commands.ts';
import type { RecordedError, Uncounted } from '../journal/events.ts';
import type { AttemptResult } from '../run/run-events.ts';
import type { StepContext } from '../definition/steps.ts';

/** Time limits; createDeadlines (runtime/deadlines.ts) fits. */
export interface Limits {
  add(delayMs: number, onDue: () => void): () => void;
}

export interface AttemptOptions {
  readonly runId: string;
  readonly idempotencyKey: string;
  readonly attempt: number;
  readonly fencingToken: number;
  readonly timeoutMs: number;
  readonly limits: Limits;
  readonly maxBytes: number;
  /** What is run, for errors: `place-order, charge`. */
  readonly where: string;
  /** Whether a failure that is not permanent leaves open whether it happened. False for transactions, which are rolled back. */
  readonly doubt: boolean;
  /** Whether nobody throws that on purpose. */
  readonly isBug: (error: unknown) => boolean;
  /** What is kept of an error. */
  readonly record: (error: unknown) => RecordedError;
  /** Told when its code kept the event loop for itself, for so many milliseconds. */
  readonly onHeld?: (ms: number) => void;
  /** Told of a promise that it has left behind and that was rejected. */
  readonly onStray?: (error: unknown) => void;
  /** Told when it is done after it had been given up. */
  readonly onLate?: () => void;
  /** Says of a failure that it is the infrastructure's. Default: none is. */
  readonly cutShort?: (error: unknown) => Uncounted | undefined;
}

/** An attempt under way. */
export interface Attempt {
  /** Aborts its signal. It is waited for a moment; then its outcome counts as unknown. */
  readonly abort: (reason: Error) => void;
}

/** How long a step whose signal has aborted may take to settle, in milliseconds. */
export const GRACE_MS = 1_000;

/** Code that returns to the event loop within this is not in the way of others, in milliseconds. */
const WORTH_NAMING_MS = 100;

/** Calls `fn` and, once, `onEnd`: perhaps at once. What the step does after that is nobody's result. */
export function startAttempt(
  options: AttemptOptions,
  fn: (context: StepContext) => unknown,
  onEnd: (result: AttemptResult) => void,
): Attempt {
  const context = new Context(options);
  let ended: Error | null = null;
  let settled = false;
  let cancelLimit: () => void = () => {};

  const settle = (result: AttemptResult): void => {
    if (settled) return;
    settled = true;
    cancelLimit();
    onEnd(result);
  };
  const abort = (reason: Error): void => {
    if (ended !== null || settled) return;
    ended = reason;
    cancelLimit();
    cancelLimit = options.limits.add(GRACE_MS, () => settle(failed(reason, options)));
    context.abort(reason);
  };
  const fail = (thrown: unknown): void => {
    const error = lookable(thrown);
    // What is said for certain counts, unless the time is up; any other error is only how it took the end.
    const definite = isPermanent(error) && !isHoldfastError(ended, 'HF_STEP_TIMEOUT');
    settle(failed(definite ? error : (ended ?? error), options));
  };
  const succeed = (value: unknown): void => {
    if (settled) return options.onLate?.();
    // Late is late, or a time limit would mean nothing; what was aborted and is done all the same, is done.
    if (isHoldfastError(ended, 'HF_STEP_TIMEOUT')) settle(failed(ended, options));
    else settle(outputOf(value, options));
  };

  if (options.timeoutMs !== Infinity)
    cancelLimit = options.limits.add(options.timeoutMs, () => abort(timedOut(options)));
  try {
    const result = inScope({ stray: options.onStray ?? nothing }, () => measured(() => fn(context), options));
    if (isThenable(result)) result.then(succeed, fail);
    else succeed(result);
  } catch (error) {
    fail(error);
  }
  return { abort };
}

function outputOf(value: unknown, options: AttemptOptions): AttemptResult {
  try {
    return { kind: 'done', output: encodeOutput(value, options.maxBytes, options.where) };
  } catch (thrown) {
    const error = lookable(thrown);
    // It has happened, and what came of it cannot be recorded: no further attempt can change that.
    return {
      kind: 'failed',
      error: options.record(error),
      permanent: true,
      doubt: options.doubt,
      bug: options.isBug(error),
    };
  }
}

function failed(error: unknown, options: AttemptOptions): Extract<AttemptResult, { kind: 'failed' }> {
  const { doubt, isBug, cutShort } = options;
  const permanent = isPermanent(error);
  // Aborted with HF_STOPPED: by the engine or the worker, which stop or give the run back.
  const uncounted = isHoldfastError(error, 'HF_STOPPED') ? 'stopped' : permanent ? undefined : cutShort?.(error);
  const cut = uncounted === undefined ? { bug: isBug(error) } : { uncounted };
  return { kind: 'failed', error: options.record(error), permanent, doubt: doubt && !permanent, ...cut };
}

function timedOut({ where, timeoutMs }: AttemptOptions): HoldfastError {
  return new HoldfastError('HF_STEP_TIMEOUT', `${where} did not finish within ${timeoutMs} ms.`, {
    advice: 'Raise timeout, or pass signal on to what it waits for.',
    details: { timeoutMs },
  });
}

function measured<T>(fn: () => T, { onHeld }: AttemptOptions): T {
  const since = performance.now();
  try {
    return fn();
  } finally {
    const heldMs = performance.now() - since;
    if (heldMs > WORTH_NAMING_MS) onHeld?.(heldMs);
  }
}

function nothing(): void {}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

class Context implements StepContext {
  readonly idempotencyKey: string;
  readonly attempt: number;
  readonly runId: string;
  readonly fencingToken: number;
  #controller: AbortController | null = null;
  #reason: Error | null = null;

  constructor({ idempotencyKey, attempt, runId, fencingToken }: AttemptOptions) {
    this.idempotencyKey = idempotencyKey;
    this.attempt = attempt;
    this.runId = runId;
    this.fencingToken = fencingToken;
  }

  /** Made when asked for: most steps never look at it. */
  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#reason !== null) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  abort(reason: Error): void {
    this.#reason = reason;
    this.#controller?.abort(reason);
  }
}
