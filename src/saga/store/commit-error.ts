/**
 * What a store answers when it refuses what single runs want to record: whose commits failed and why. Thrown by stores, read by the
 * worker, which has to deal with those runs while all others go on.
 */
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import { sequenceBehind } from '../../postgres/sequences.ts';
import type { RecordedError } from '../journal/events.ts';
import { classifySqlError, sqlStateOf, translateSqlError } from '../../postgres/sql-state.ts';

/** The commits of all runs that are not named here are done. */
export class GroupCommitError extends HoldfastError {
  override readonly name = 'GroupCommitError';
  /** By the id of the run: why nothing of its commit was written. */
  readonly failures: ReadonlyMap<string, Error>;
  constructor(failures: ReadonlyMap<string, Error>) {
    const [first] = failures.values();
    super(
      'HF_COMMIT_REFUSED',
      `What ${failures.size === 1 ? 'a run' : `${failures.size} runs`} wanted to record was refused: ${first?.message}`,
      {
        cause: first,
        details: { runs: [...failures.keys()] },
      },
    );
    this.failures = failures;
  }
}

/** The run was about to end, or to begin its pivot, and is to be compensated: what it has not seen yet says so. */
export class RevokedError extends HoldfastError {
  override readonly name = 'RevokedError';
  constructor() {
    super('HF_COMMIT_REFUSED', 'The run is to be compensated: that came before what it was about to record.');
  }
}

/** The error of one run's commit, in the words of Holdfast where there are any. */
export function explainRefusal(error: unknown): Error {
  const constraint = error instanceof Error && 'constraint' in error ? error.constraint : undefined;
  const options = { cause: error };
  switch (sqlStateOf(error)) {
    case 'HF001':
      return leaseLost(error);
    case 'HF002':
      return new HoldfastError('HF_LEASE_LOST', 'The worker does not hold the run that it wants to change.', options);
    case '23505':
      if (constraint === 'outbox_id')
        return new HoldfastError('HF_MESSAGE_DUPLICATE', 'A message with this id is in the outbox already.', options);
      if (constraint === 'outbox_pkey' || constraint === 'saga_mail_pkey')
        return sequenceBehind('The number that a row was given is taken: its sequence is behind.', options);
      break;
    case '23514':
      if (error instanceof Error && /^saga run .* cannot become/.test(error.message))
        return new HoldfastError('HF_SAGA_FINISHED', 'A finished run stays as it ended.', options);
      break;
    default:
  }
  return translateSqlError(error);
}

/** What makes a run stuck whose commit was refused for its data: the same again would be refused again. Null: it may pass. */
export function unrecordable(error: unknown): RecordedError | null {
  if (!(error instanceof Error) || isHoldfastError(error) || classifySqlError(error) !== 'data') return null;
  // Of what the database will not have nothing may stand in what says so.
  const message = error.message.replaceAll(/[^\x20-\x7e]/g, '?');
  return {
    name: 'HoldfastError',
    code: 'HF_COMMIT_REFUSED',
    message: `The database refuses what is to be recorded: ${message}. Mend the value, or the database (its encoding, its limits), then have the run retried.`,
    details: { sqlState: sqlStateOf(error) ?? null },
  };
}

/** The record of a transaction step is refused for its data. */
export class UnrecordableError extends Error {
  readonly recorded: RecordedError;
  constructor(recorded: RecordedError, cause: unknown) {
    super(recorded.message, { cause });
    this.recorded = recorded;
  }
}

/**
 * The transaction of a step was rolled back, or will be, whenever what was sent of it arrives: an empty row of the journal stands in the
 * place of its own.
 */
export class StepPrecludedError extends HoldfastError {
  /** What the server said of COMMIT; null: it was not heard. */
  readonly verdict: Error | null;
  constructor(verdict: Error | null = null) {
    super('HF_DATABASE_UNAVAILABLE', 'The connection broke during COMMIT, and the transaction was rolled back.');
    this.verdict = verdict;
  }
}

/**
 * The connection of a transaction step broke, or fell silent, while its handler had it: nothing of the step has happened. `met`: what the step failed with;
 * null: it took no notice.
 */
export class StepBrokenError extends HoldfastError {
  override readonly name = 'StepBrokenError';
  readonly met: { readonly error: unknown } | null;
  constructor(met: { readonly error: unknown } | null) {
    super(
      'HF_DATABASE_UNAVAILABLE',
      'The connection of the step broke or fell silent, and its transaction was rolled back.',
      {
        advice: 'It is tried again. Look at the log of the server when that goes on.',
      },
    );
    this.met = met;
  }
}

export function leaseLost(cause?: unknown): HoldfastError {
  return new HoldfastError('HF_LEASE_LOST', 'The lease of the worker is over, and nothing was written.', {
    advice: 'Others take its runs up. Look for long pauses of the process and for a lease that is too short.',
    ...(cause === undefined ? {} : { cause }),
  });
}

/** For who waits for a start when the worker ends in the middle of it. */
export function startInDoubt(cause: Error): HoldfastError {
  return new HoldfastError(
    'HF_COMMIT_IN_DOUBT',
    'The worker was lost while the run was being started; it may have been.',
    {
      advice: 'Start it with a key, or an id of your own: then starting it again is harmless.',
      cause,
    },
  );
}
