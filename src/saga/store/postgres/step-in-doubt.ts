/**
 * What became of a transaction step whose record and COMMIT were sent, and not answered.
 *
 * Its old backend may have committed, be about to, or not even have received them: what was sent may lie in some buffer, or the backend
 * be stopped, and the commit come whenever it likes. So it is not enough to look. The place of its row in the journal is taken by an
 * empty row, which commits. Either that is refused, because the row of the step stands there: then it happened. Or the empty row stands
 * there, and the step's record can never be written any more, however late it comes: then it did not, and will not. While the old
 * transaction has written its row and not ended, the insert waits for it; should that take long, its backend is ended.
 *
 * Because nothing else says so much: a look at pg_stat_activity knows nothing of a backend behind a pooler or on a server that was
 * replaced, and an insert that is rolled back is passed by what arrives after it.
 */
import { endBackend } from '../../../postgres/backend.ts';
import type { Database } from '../../../postgres/database.ts';
import { quoteIdentifier } from '../../../postgres/quoting.ts';
import { limitFrozen } from '../../../postgres/transaction.ts';
import type { CrashPoint } from '../../../runtime/crash-point.ts';
import { leaseLost, StepPrecludedError } from '../commit-error.ts';
import type { RunCommit } from '../store.ts';
import { untilAnswered, type ReconnectOptions } from './reconnect.ts';

export interface StepInDoubtOptions extends ReconnectOptions {
  readonly database: Database;
  readonly crashPoint: CrashPoint;
  /** How long each of our own statements waits for its answer, in milliseconds. */
  readonly queryTimeoutMs: number;
}

export interface JournalledCommit extends RunCommit {
  readonly journal: NonNullable<RunCommit['journal']>;
}

/** How long the insert waits for the old transaction before its backend is ended, in milliseconds. */
const LOCK_MS = 1_000;
const IN_OURS = { olderThanMs: 500 };
/** No event: the number is used up. */
const EMPTY = '[]';

/** Resolves when it was committed. Rejects with a StepPrecludedError when it will never be, and with HF_LEASE_LOST. */
export async function settleStepInDoubt(
  options: StepInDoubtOptions,
  workerId: string,
  { commit, pid }: { readonly commit: JournalledCommit; readonly pid: number | null },
): Promise<void> {
  const { database, crashPoint } = options;
  const found = await untilAnswered('the COMMIT of a transaction step', options, async (tries) => {
    if (tries > 0) await endBackend(database, pid, IN_OURS);
    crashPoint('saga.transaction.doubt:before');
    const row = await takePlace(options, workerId, commit);
    crashPoint('saga.transaction.doubt:after');
    return row;
  });
  if (found === commit.journal.events) return;
  // No row: the lease is over, or the run in other hands. Another row: the same, and its new holder has gone on.
  if (found !== EMPTY) throw leaseLost();
  throw new StepPrecludedError();
}

/** The events that stand in the place of the row, as they were written; null: none do, because the worker may not write any more. */
async function takePlace(
  { database, queryTimeoutMs }: StepInDoubtOptions,
  workerId: string,
  { runId, journal }: JournalledCommit,
): Promise<string | null> {
  const s = quoteIdentifier(database.schema);
  return database.withConnection(
    async (client) => {
      await client.query(`BEGIN;SET LOCAL lock_timeout = ${LOCK_MS};${limitFrozen(queryTimeoutMs)}`);
      await client.query(
        `INSERT INTO ${s}.saga_journal (saga_id, n, events, at, bytes)
         SELECT r.id, $3::integer, '${EMPTY}'::json, to_timestamp($4::double precision / 1000), ${EMPTY.length}
         FROM ${s}.worker w JOIN ${s}.saga_run r ON r.worker = w.id
         WHERE w.id = $1 AND r.id = $2 AND w.lease_until > clock_timestamp() FOR KEY SHARE OF w
         ON CONFLICT DO NOTHING`,
        [workerId, runId, journal.n, journal.at],
      );
      await client.query('COMMIT');
      const { rows } = await client.query<{ events: string }>(
        `SELECT events::text AS events FROM ${s}.saga_journal WHERE saga_id = $1 AND n = $2`,
        [runId, journal.n],
      );
      return rows[0]?.events ?? null;
    },
    { timeoutMs: queryTimeoutMs },
  );
}
