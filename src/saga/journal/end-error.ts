/**
 * What is told of a run beside its status: the error that it failed with or is stuck for, and what a person had left out of its compensation.
 * Pure.
 */
import type { RecordedError } from './events.ts';
import type { RunState } from './state.ts';

export function endError(state: RunState): RecordedError | null {
  if (state.stuck !== null) return state.stuck.error;
  if (state.phase !== 'compensated' || state.skipped.length === 0) return state.error;
  const error = state.error ?? { name: 'HoldfastError', code: 'HF_SAGA_UNDONE', message: 'The run was compensated.' };
  return { ...error, details: { ...error.details, skipped: state.skipped } };
}

/** Ids of calls whose compensating a person has skipped, from an error that is stored. */
export function skippedOf(error: unknown): readonly string[] {
  const { skipped } = ((error as Partial<RecordedError> | null)?.details ?? {}) as { readonly skipped?: unknown };
  return Array.isArray(skipped) ? skipped.filter((each) => typeof each === 'string') : [];
}
