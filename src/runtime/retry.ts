/**
 * The one retry policy: exponential backoff with full jitter, capped both in attempts and in total time.
 * Pure: time and randomness come in as arguments. One layer retries, never two.
 *
 * Full jitter, `random(0, min(cap, base * factor^n))`, is from Marc Brooker, "Exponential Backoff And Jitter",
 * AWS Architecture Blog, 4 March 2015: of the jittered variants it did the least work for contending clients.
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
import { isHoldfastError, type ErrorCode } from '../errors.ts';
import { parseDuration, type Duration } from './duration.ts';
import { badOption, refuseUnknownOptions } from './options.ts';

/** A policy with everything settled. */
export interface RetryPolicy {
  /** How often the work is done at most, the first time included. May be Infinity. */
  readonly attempts: number;
  /** The upper bound of the first wait, in milliseconds. */
  readonly baseMs: number;
  /** The upper bound of every wait, in milliseconds. */
  readonly capMs: number;
  /** How much the upper bound grows from one wait to the next. */
  readonly factor: number;
  /** No attempt begins later than this after the first one began, in milliseconds. May be Infinity. */
  readonly withinMs: number;
}

/** For what must go on until its server answers again: reading the log, the lease of a worker, LISTEN, the start of a daemon. */
export const RECONNECT: RetryPolicy = { attempts: Infinity, baseMs: 100, capMs: 5_000, factor: 2, withinMs: Infinity };

/** What users write; what they leave out comes from the defaults of the place it is for. */
export interface RetryOptions {
  /** How often the work is done at most, the first time included; 1 means no retry. */
  readonly attempts?: number | undefined;
  readonly base?: Duration | undefined;
  readonly cap?: Duration | undefined;
  readonly factor?: number | undefined;
  readonly within?: Duration | undefined;
}

export type RetryDecision =
  | { readonly kind: 'retry'; readonly delayMs: number }
  | { readonly kind: 'give-up'; readonly because: 'permanent' | 'attempts' | 'time' };

/**
 * Checks options and completes them from `defaults`. `where` names the option in errors, such as `relay.retry`.
 * @throws HoldfastError HF_CONFIG, HF_DURATION, HF_OPTION_UNKNOWN
 */
export function resolveRetry(options: RetryOptions | undefined, defaults: RetryPolicy, where: string): RetryPolicy {
  const given = options ?? {};
  refuseUnknownOptions(given, ['attempts', 'base', 'cap', 'factor', 'within'], where);
  const policy: RetryPolicy = {
    attempts: given.attempts ?? defaults.attempts,
    baseMs: given.base === undefined ? defaults.baseMs : parseDuration(given.base, `${where}.base`),
    capMs: given.cap === undefined ? defaults.capMs : parseDuration(given.cap, `${where}.cap`),
    factor: given.factor ?? defaults.factor,
    withinMs: given.within === undefined ? defaults.withinMs : parseDuration(given.within, `${where}.within`),
  };
  if (policy.attempts !== Infinity && !(Number.isInteger(policy.attempts) && policy.attempts >= 1)) {
    throw badOption(`${where}.attempts`, `is ${policy.attempts}`, 'Give a whole number from 1 (no retry) on.');
  }
  if (!(Number.isFinite(policy.factor) && policy.factor >= 1)) {
    throw badOption(
      `${where}.factor`,
      `is ${policy.factor}`,
      'Give a number from 1 (waits do not grow) on; 2 is usual.',
    );
  }
  if (policy.capMs < policy.baseMs) {
    if (given.cap !== undefined && given.base !== undefined)
      throw badOption(`${where}.cap`, `is ${given.cap}`, `It must not be below base (${policy.baseMs} ms).`);
    // Only one of the two is the user's: the default gives way.
    return given.cap === undefined ? { ...policy, capMs: policy.baseMs } : { ...policy, baseMs: policy.capMs };
  }
  return policy;
}

/**
 * The wait before the next attempt, in milliseconds, 0 <= wait <= cap.
 * @param attempt how many attempts have failed: 1 after the first failure
 * @param random gives numbers in [0, 1)
 */
export function backoffMs(policy: RetryPolicy, attempt: number, random: () => number): number {
  if (policy.baseMs === 0) return 0;
  return random() * Math.min(policy.capMs, policy.baseMs * policy.factor ** (attempt - 1));
}

/**
 * What to do after a failure.
 * A wait is cut short so that the last attempt still begins within the total time.
 * @param failure.attempt how many attempts have failed: 1 after the first failure
 * @param failure.elapsedMs since the first attempt began
 */
export function decideRetry(
  policy: RetryPolicy,
  failure: {
    readonly attempt: number;
    readonly elapsedMs: number;
    readonly permanent: boolean;
    readonly random: () => number;
  },
): RetryDecision {
  if (failure.permanent) return { kind: 'give-up', because: 'permanent' };
  if (failure.attempt >= policy.attempts) return { kind: 'give-up', because: 'attempts' };
  const leftMs = policy.withinMs - failure.elapsedMs;
  if (leftMs <= 0) return { kind: 'give-up', because: 'time' };
  return { kind: 'retry', delayMs: Math.min(leftMs, backoffMs(policy, failure.attempt, failure.random)) };
}

/**
 * The codes that doing the same thing again cannot mend. A version that is too new is not among them: while a
 * new release rolls out, the next attempt may land on a process that knows it.
 */
const PERMANENT_CODES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'HF_PERMANENT',
  'HF_REJECTED',
  'HF_MESSAGE_REFUSED',
  'HF_PAYLOAD_INVALID',
  'HF_PAYLOAD_NOT_JSON',
  'HF_PAYLOAD_TEXT',
  'HF_PAYLOAD_TOO_LARGE',
  'HF_KEY_EMPTY',
  'HF_ENVELOPE_INVALID',
  'HF_CONFIG',
  'HF_OPTION_UNKNOWN',
  'HF_DURATION',
  'HF_MESSAGE_TYPE',
  'HF_NOT_IN_TRANSACTION',
  'HF_TX_UNSUPPORTED',
  'HF_IDEMPOTENCY_CONFLICT',
  'HF_REPLY_STRAY',
]);

/** True for failures that no retry can mend: PermanentError, refused messages, and what validation refuses. */
export function isPermanent(error: unknown): boolean {
  return isHoldfastError(error) && PERMANENT_CODES.has(error.code);
}
