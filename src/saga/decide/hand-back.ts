/**
 * What is recorded of a run that leaves memory because it cannot go on: attempts that were under way, or whose end is not recorded, are in
 * doubt. Without this row the next worker would make them again as if they had never been made.
 */
import type { Logger } from '../../runtime/log.ts';
import { newSpent, noteOf } from '../journal/budget.ts';
import { RevokedError, unrecordable } from '../store/commit-error.ts';
import type { JournalEvent, RecordedError } from '../journal/events.ts';
import { canBeInDoubt } from '../kinds/table.ts';
import type { Run } from '../run/run.ts';
import type { RunCommit } from '../store/store.ts';

/** When a run is tried again that could not go on, in milliseconds. */
const GIVEN_BACK_MS = 30_000;

/** A run that leaves memory because it cannot go on: since when, for how long, and why. */
export interface GivenBack {
  /** The store's time. */
  readonly now: number;
  readonly delayMs: number;
  readonly error: unknown;
  /** The commit of the run that the store refused. */
  readonly refused: RunCommit | null;
  /** Nobody is to go on with it before a person says so, and why. */
  readonly stuck: RecordedError | null;
}

/** Why a run is given back, and when it may be claimed again. Writes that to the log. */
export function givenBack(
  run: Run,
  error: unknown,
  refused: RunCommit | null,
  { now, log }: { readonly now: () => number; readonly log: Logger },
): GivenBack {
  const revoked = error instanceof RevokedError;
  const stuck = refused === null ? null : unrecordable(error);
  const about = { err: error, run: run.id, saga: run.saga.name };
  if (revoked) log.info(about, 'a run is to be compensated that was about to go on');
  else if (stuck === null) log.error(about, 'a run cannot go on; it is tried again later');
  else log.error(about, 'the database refuses what a run has to record: it is stuck');
  return { now: now(), delayMs: revoked ? 0 : GIVEN_BACK_MS, error, refused, stuck };
}

const UNRECORDED: RecordedError = {
  name: 'HoldfastError',
  code: 'HF_STEP_LOST',
  message: 'What came of this attempt could not be recorded; whether it happened is not known.',
};

/**
 * The row, or null when there is nothing to say.
 * @param refused the commit of the run that the store would not have
 * @param stuck why nobody is to go on with it; null: somebody may
 */
export function handBackRow(
  run: Run,
  refused: RunCommit | null,
  stuck: RecordedError | null,
  now: number,
): RunCommit['journal'] {
  const events: JournalEvent[] = attemptsInDoubt(run, refused).map(([call, attempt]) => ({
    t: 'attempt failed',
    call,
    attempt,
    error: UNRECORDED,
    retryAt: Math.floor(now),
    ...noteOf(run.state.calls.get(call)?.spent ?? newSpent(0), 0, { uncounted: 'stopped' }),
  }));
  if (stuck !== null) events.push({ t: 'stuck', why: 'unrecordable', error: stuck });
  return events.length === 0 ? null : { n: run.n, at: Math.max(run.rowAt, now), events: JSON.stringify(events) };
}

/** Calls of steps with the number of the attempt that nobody knows about. A transaction that did not commit has not happened. */
function attemptsInDoubt(run: Run, refused: RunCommit | null): readonly (readonly [call: string, attempt: number])[] {
  const lost: readonly JournalEvent[] = [
    ...((refused?.journal ? JSON.parse(refused.journal.events) : []) as JournalEvent[]),
    ...run.unwritten.map((text) => JSON.parse(text) as JournalEvent),
  ];
  // What is not known to have been called has not begun.
  const unknown = new Set(lost.flatMap((event) => (event.t === 'called' ? [event.call] : [])));
  const attempts = new Map<string, number>();
  for (const event of lost) {
    if (event.t === 'attempt failed') attempts.set(event.call, event.attempt);
    else if (event.t === 'failed') attempts.set(event.call, event.attempts);
    else if (event.t === 'done') attempts.set(event.call, (run.state.calls.get(event.call)?.attempts ?? 0) + 1);
  }
  const ended = run.runEvents.flatMap((runEvent) =>
    runEvent.kind === 'attempt' || runEvent.kind === 'fallback' ? [runEvent.call] : [],
  );
  for (const call of [...run.state.open.filter(({ id }) => run.inFlight.has(id)), ...ended])
    if (!attempts.has(call.id)) attempts.set(call.id, call.attempts + 1);
  return [...attempts].filter(([id]) => {
    const call = run.state.calls.get(id);
    return call !== undefined && canBeInDoubt(call) && !unknown.has(id);
  });
}
