/**
 * What an attempt costs: the budget of attempts and of time that a step, or a compensation, has for what may go wrong in the business.
 * Trouble of the infrastructure spends none of it: an attempt that was lost with its worker, was stopped with it, or was rolled back by
 * the database counts for nothing, and `within` stands still while nobody runs what is due. Pure.
 *
 * What kills its worker is found all the same. An attempt that was lost several times in a row is suspect: only a few suspects are under
 * way at once, then one alone, and each is recorded before it begins (`trying`), so that what only waits beside it is not blamed. In the end
 * it counts as one that kills workers, and the run is stuck. So it is with what breaks the connection of its transaction: a statement that
 * ends its server process may end those of all others with it.
 */
import { backoffMs, decideRetry, type RetryPolicy } from '../../runtime/retry.ts';
import type { JournalEvent, RecordedError, Uncounted } from './events.ts';
import { deathsIn } from './losses.ts';

export interface Spent {
  /** Attempts that the infrastructure cut short: they count for nothing. */
  uncounted: number;
  /** Of these, in a row until now, those that were lost with their worker. */
  lost: number;
  /** Of those, the ones after which the worker was heard of, as far as that was known. */
  lapsed: number;
  /** Those, in a row until now, under whose handler or COMMIT the connection broke or fell silent. */
  broken: number;
  /** The attempt that is next was announced. */
  trying: boolean;
  /** How long nobody ran it although it was due, in milliseconds. */
  idleMs: number;
  /** When the attempt that is next, or under way, was due. */
  dueAt: number;
  /** When the attempt under way began. Not recorded. */
  beganAt: number | null;
}

/** Attempts lost, or broken, in a row after which only a few such attempts are under way at once. */
export const LOST_BEFORE_SUSPECT = 3;
/** Attempts lost, or broken, in a row after which nobody makes another one. */
export const LOST_BEFORE_STUCK = 6;
/** How many suspects a worker has under way at once when one is lost for the first time. */
const SUSPECTS_AT_ONCE = 8;
/** An attempt that begins so much later than it was due was kept from beginning, in milliseconds. */
const LATE_MS = 1_000;

export const KILLS_WORKERS: RecordedError = {
  name: 'HoldfastError',
  code: 'HF_STEP_LOST',
  message:
    'Every worker that made this attempt was lost during it. Look for an endless loop, a process.exit or too large a value in the step, ' +
    'or for what ends workers sooner than it takes; then have the run retried; or cancel it.',
};

export const OUTLASTS_LEASES: RecordedError = {
  name: 'HoldfastError',
  code: 'HF_STEP_LOST',
  message:
    'In every attempt the worker that made it lost its lease, and most of these workers live: they stood still, or did not reach the database, ' +
    'for longer than that. Look whether the step keeps the event loop for itself, and whether workers have processor time, and a database that ' +
    'answers, for what it takes; then have the run retried; or cancel it.',
};

export const BREAKS_CONNECTIONS: RecordedError = {
  name: 'HoldfastError',
  code: 'HF_STEP_LOST',
  message:
    'In every attempt the connection to the database broke or fell silent under the step or its COMMIT, and all of it was rolled back. Look in ' +
    'the log of the server for a process that crashed or ran out of memory (a deferred trigger runs at COMMIT), and for what ends or forgets ' +
    'sessions that wait (idle_in_transaction_session_timeout, a pooler, a firewall); then have the run retried; or cancel it.',
};

/** How long what broke its connection is left alone at least, from the second time in a row on: a server that crashed begins anew first. */
const AFTER_BREAKS: RetryPolicy = { attempts: Infinity, baseMs: 500, capMs: 30_000, factor: 2, withinMs: Infinity };

export function newSpent(dueAt: number): Spent {
  return { uncounted: 0, lost: 0, lapsed: 0, broken: 0, trying: false, idleMs: 0, dueAt, beganAt: null };
}

/** What is recorded of a failed attempt beside its error. */
export type Note = Pick<Failed, 'uncounted' | 'free' | 'lost' | 'lapsed' | 'broken' | 'idle'>;
type Failed = Extract<JournalEvent, { t: 'attempt failed' | 'compensation failed' }>;

/** Folds a failed attempt in: it says the whole of what the ones before it said. */
export function spend(
  spent: Spent,
  { free, lost, lapsed, broken, idle, retryAt }: Note & Pick<Failed, 'retryAt'>,
): void {
  spent.uncounted = free ?? 0;
  spent.lost = lost ?? 0;
  spent.lapsed = lapsed ?? 0;
  spent.broken = broken ?? 0;
  spent.idleMs = idle ?? 0;
  spent.dueAt = retryAt ?? spent.dueAt;
  spent.beganAt = null;
  spent.trying = false;
}

/** How many attempts like this one a worker may have under way at once. */
export function maxConcurrent(spent: Spent): number {
  const suspicion = suspicionOf(spent);
  if (suspicion < LOST_BEFORE_SUSPECT) return Infinity;
  return suspicion === LOST_BEFORE_SUSPECT ? SUSPECTS_AT_ONCE : 1;
}

/** Whether the attempt is not to be made before it is announced. */
export function isSuspect(spent: Spent): boolean {
  return suspicionOf(spent) >= LOST_BEFORE_SUSPECT;
}

function suspicionOf({ lost, lapsed, broken }: Spent): number {
  return Math.max(Math.floor(deathsIn(lost, lapsed)), broken);
}

export interface FailedAttempt {
  /** Attempts that had failed before this one. */
  readonly attempts: number;
  /** When the first one was due. */
  readonly since: number;
  readonly now: number;
  readonly permanent: boolean;
  readonly uncounted: Uncounted | undefined;
  /** The connection broke under it; only with `uncounted`. */
  readonly broken: boolean;
  /** Of the losses in a row, this one among them, those that were lapses; only of one that was lost. Default 0. */
  readonly lapsed?: number;
  readonly random: () => number;
}

export type FailedDecision =
  | { readonly kind: 'retry'; readonly retryAt: number; readonly note: Note }
  | { readonly kind: 'give up' }
  /** It ends what carries it. */
  | { readonly kind: 'kills workers'; readonly error: RecordedError; readonly note: Note };

/** What becomes of a step, or a compensation, of which an attempt failed. */
export function decideFailed(policy: RetryPolicy, spent: Spent, failed: FailedAttempt): FailedDecision {
  const { attempts, since, now, permanent, uncounted, broken, lapsed = 0, random } = failed;
  if (uncounted !== undefined && !permanent) {
    const note = (idleMs: number): Note => noteOf(spent, idleMs, { uncounted, broken, lapsed });
    if (uncounted === 'lost' && deathsIn(spent.lost + 1, lapsed) >= LOST_BEFORE_STUCK) {
      const error = 2 * lapsed > spent.lost + 1 ? OUTLASTS_LEASES : KILLS_WORKERS;
      return { kind: 'kills workers', error, note: note(0) };
    }
    if (broken && spent.broken + 1 >= LOST_BEFORE_STUCK)
      return { kind: 'kills workers', error: BREAKS_CONNECTIONS, note: note(0) };
    // What a worker leaves behind goes on at once, and so does what was lost with one for the first time: most workers do not die of their
    // steps, and the lease has been waited for already. What may hit the next attempt as well waits a little longer each time.
    const isLeft = uncounted === 'stopped' || (uncounted === 'lost' && spent.lost === 0);
    const delayMs = isLeft ? 0 : backoffMs(policy, Math.min(spent.uncounted + 1, 30), random);
    const restMs = broken && spent.broken > 0 ? backoffMs(AFTER_BREAKS, spent.broken, random) : 0;
    const retryAt = Math.floor(now + Math.max(delayMs, restMs));
    return { kind: 'retry', retryAt, note: note(retryAt - spent.dueAt) };
  }
  const late = spent.beganAt === null ? 0 : Math.floor(spent.beganAt - spent.dueAt);
  const idle = late < LATE_MS ? 0 : late;
  const decision = decideRetry(policy, {
    attempt: attempts + 1 - spent.uncounted,
    elapsedMs: now - since - spent.idleMs - idle,
    permanent,
    random,
  });
  if (decision.kind === 'give-up') return { kind: 'give up' };
  return { kind: 'retry', retryAt: Math.floor(now + decision.delayMs), note: noteOf(spent, idle) };
}

type Cut = Pick<FailedAttempt, 'uncounted' | 'broken' | 'lapsed'>;

/** What is nothing is left out. */
export function noteOf(spent: Spent, idleMs: number, end: Partial<Cut> = {}): Note {
  const { uncounted } = end;
  const free = spent.uncounted + (uncounted === undefined ? 0 : 1);
  const lost = uncounted === 'lost' ? spent.lost + 1 : 0;
  const lapsed = uncounted === 'lost' ? (end.lapsed ?? 0) : 0;
  const broken = end.broken === true ? spent.broken + 1 : 0;
  const idle = spent.idleMs + Math.max(0, idleMs);
  return {
    ...(uncounted === undefined ? {} : { uncounted }),
    ...(free > 0 ? { free } : {}),
    ...(lost > 0 ? { lost } : {}),
    ...(lapsed > 0 ? { lapsed } : {}),
    ...(broken > 0 ? { broken } : {}),
    ...(idle > 0 ? { idle } : {}),
  };
}
