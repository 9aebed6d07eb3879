/**
 * An error as programs and people are told of it: its code, what happened, and what to do about it, apart from each other.
 */
import { isHoldfastError } from '../errors.ts';

export interface DescribedFailure {
  readonly code: string;
  /** Without the advice that a HoldfastError ends it with. */
  readonly message: string;
  readonly advice: string | null;
}

export function describeFailure(error: unknown): DescribedFailure {
  if (!isHoldfastError(error)) {
    const message = error instanceof Error ? error.message : String(error);
    return { code: 'UNEXPECTED', message: message === '' ? 'unknown' : message, advice: null };
  }
  const advice = error.advice ?? null;
  const message =
    advice !== null && error.message.endsWith(advice) ? error.message.slice(0, -advice.length).trim() : error.message;
  return { code: error.code, message, advice };
}
