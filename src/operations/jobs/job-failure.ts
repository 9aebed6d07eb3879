/**
 * What a job does when a chunk of it fails: whether the server, all of the chunk or a single one of it is to blame. Pure.
 */
import { isHoldfastError, type ErrorCode } from '../../errors.ts';
import { LOCK_NOT_AVAILABLE } from '../../postgres/lock-wait.ts';
import { passesByItself, sqlStateOf } from '../../postgres/sql-state.ts';
import type { RetryPolicy } from '../../runtime/retry.ts';

/** As long as the server is away or locks are held; then the job is left open, and the caller told. */
export const PASSING: RetryPolicy = { attempts: 30, baseMs: 100, capMs: 5_000, factor: 2, withinMs: Infinity };
/** Tries of a single act whose row is locked, before it is passed over. */
const TRIES_OF_LOCKED = 4;

/** end: the job is left open, and the caller told. one by one: it is one of them, and which is to be found out. */
export type AfterFailure = 'end' | 'one by one' | 'again' | 'pass over';

export interface FailedChunk {
  /** How many it was for. */
  readonly picked: number;
  /** In a row, without a commit in between, this one included. */
  readonly failures: number;
  /** The job has come back to what was in somebody's hands: it tries each once, and comes back again. */
  readonly isBack: boolean;
}

export function afterFailure(error: Error, { picked, failures, isBack }: FailedChunk): AfterFailure {
  const locked = isLocked(error);
  const passing = locked || passesByItself(error) || isHoldfastError(error, 'HF_COMMIT_IN_DOUBT');
  if (!passing && (picked === 0 || !isOfTheAct(error))) return 'end';
  if (picked > 0 && (locked || !passing)) {
    if (picked > 1) return 'one by one';
    if (!locked || isBack || failures >= TRIES_OF_LOCKED) return 'pass over';
  }
  return failures >= PASSING.attempts ? 'end' : 'again';
}

/** Somebody has what it wanted. */
export function isLocked(error: Error): boolean {
  return sqlStateOf(error) === LOCK_NOT_AVAILABLE || isHoldfastError(error, 'HF_LOCK_WAIT');
}

/** What has nothing to do with the message or run that was acted on would be met by the next one as well. */
const OF_THE_WHOLE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'HF_LEASE_LOST',
  'HF_NOT_FOUND',
  'HF_SCHEMA_MISSING',
  'HF_SCHEMA_MOVED',
  'HF_PERMISSION',
  'HF_DATABASE_READ_ONLY',
  'HF_DATABASE_TLS',
  'HF_DATABASE_POOLED',
  'HF_SEQUENCE_BEHIND',
  'HF_CONFIG',
  'HF_OPTION_UNKNOWN',
]);

function isOfTheAct(error: Error): boolean {
  return !isHoldfastError(error) || !OF_THE_WHOLE.has(error.code);
}
