/**
 * Moves scheduled messages (`deliverAt`, `delay`) into the outbox when they are due. Runs in every relay. Who moves locks the rows in
 * the order in which they became due, so that others wait for it at the first one, and so they enter the log in that order.
 */
import type { Database } from '../../postgres/database.ts';
import { patientTransaction } from '../../postgres/lock-wait.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { classifySqlError } from '../../postgres/sql-state.ts';
import { systemClock, type Clock } from '../../runtime/clock.ts';
import { PAGE_BYTES } from '../log/log-reader.ts';
import { BYTES_SQL } from '../log/row-bytes.ts';

export interface SchedulerStep {
  readonly moved: number;
  /** Left out, because a message with their id is in the log already: scheduled twice, or sent meanwhile. */
  readonly duplicates: readonly string[];
  /** Milliseconds until the next is due; null: none is waiting. */
  readonly nextInMs: number | null;
  /** More are due right now. */
  readonly more: boolean;
  /** One that the log refuses: it stays scheduled, and is tried again later. */
  readonly refused: { readonly id: string; readonly error: unknown } | null;
}

export interface Scheduler {
  /** Moves at most one batch, in one commit. Rejects with HF_LOCK_WAIT when somebody keeps them locked. */
  moveDue(): Promise<SchedulerStep>;
}

const BATCH = 500;
const WAIT = {
  doing: 'Moving scheduled messages that are due',
  tables: ['scheduled_message', 'outbox'],
  timeoutMs: 15_000,
};
/** How long one that the log refuses is left alone, in milliseconds. */
const REFUSED_FOR_MS = 60_000;

interface Row {
  readonly moved: string;
  readonly duplicates: string[] | null;
  readonly more: boolean;
  readonly next_in_ms: number | null;
}

export function createScheduler(database: Database, clock: Clock = systemClock): Scheduler {
  const s = quoteIdentifier(database.schema);
  /** Until when (monotonic) which messages are left alone. */
  const refusedUntil = new Map<string, number>();
  // statement_timestamp(), because an index is no use to a comparison with clock_timestamp(), which may change from row to row:
  // every look would read all that is scheduled. Once all rows of a batch are locked, their bytes say how many of them it takes.
  const due = `WHERE due_at <= statement_timestamp() AND id <> ALL ($1::uuid[])`;
  const move = `WITH locked AS MATERIALIZED (SELECT id, due_at, ${BYTES_SQL} AS bytes FROM ${s}.scheduled_message
      ${due} AND ($3::uuid IS NULL OR id = $3) ORDER BY due_at, id LIMIT $2::int FOR UPDATE),
    summed AS MATERIALIZED (
      SELECT id, sum(bytes) OVER (ORDER BY due_at, id ROWS UNBOUNDED PRECEDING) - bytes AS bytes_before FROM locked),
    due AS (
      DELETE FROM ${s}.scheduled_message WHERE id IN (SELECT id FROM summed WHERE bytes_before < ${PAGE_BYTES})
      RETURNING id, topic, key, payload, headers, due_at),
    known AS (SELECT id FROM due JOIN ${s}.outbox o USING (id)),
    batch AS (
      SELECT count(*) AS moved, json_agg(json_build_object('id', id, 'topic', topic, 'key', key, 'payload', payload, 'headers', headers)
        ORDER BY due_at, id)::text AS messages FROM due WHERE id NOT IN (SELECT id FROM known)),
    written AS MATERIALIZED (SELECT ${s}.write_outbox(messages, false) FROM batch WHERE moved > 0)
    SELECT moved, (SELECT count(*) FROM written) AS written, (SELECT array_agg(id::text) FROM known) AS duplicates,
      (SELECT count(*) FROM locked) > (SELECT count(*) FROM due) OR (SELECT count(*) FROM locked) >= $2::int AS more,
      (SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 * 1000 FROM ${s}.scheduled_message
        WHERE due_at > statement_timestamp()) AS next_in_ms
    FROM batch`;

  async function step(limit: number, only: string | null): Promise<SchedulerStep> {
    const values = [[...refusedUntil.keys()], limit, only];
    const { rows } = await patientTransaction(database, WAIT, (client) => client.query<Row>(move, values));
    const [row] = rows;
    return {
      moved: Number(row?.moved ?? 0),
      duplicates: row?.duplicates ?? [],
      nextInMs: row?.next_in_ms ?? null,
      more: row?.more ?? false,
      refused: null,
    };
  }

  /** The first one due is what the log refuses, when it is refused alone; otherwise it is moved, and the rest is looked at later. */
  async function first(): Promise<SchedulerStep> {
    const { rows } = await database.query<{ id: string }>(
      `SELECT id::text AS id FROM ${s}.scheduled_message ${due} ORDER BY due_at, id LIMIT 1`,
      [[...refusedUntil.keys()]],
      { timeoutMs: WAIT.timeoutMs },
    );
    const id = rows[0]?.id;
    if (id === undefined) return { moved: 0, duplicates: [], nextInMs: null, more: false, refused: null };
    try {
      return { ...(await step(1, id)), more: true };
    } catch (error) {
      if (!speaksOfData(error)) throw error;
      refusedUntil.set(id, clock.monotonic() + REFUSED_FOR_MS);
      return { moved: 0, duplicates: [], nextInMs: null, more: true, refused: { id, error } };
    }
  }

  return {
    async moveDue() {
      for (const [id, untilMs] of refusedUntil) if (untilMs <= clock.monotonic()) refusedUntil.delete(id);
      try {
        return await step(BATCH, null);
      } catch (error) {
        // One that is refused must not keep all others from the log.
        if (speaksOfData(error)) return first();
        throw error;
      }
    },
  };
}

function speaksOfData(error: unknown): boolean {
  return classifySqlError(error) === 'data';
}

/** How long to wait before looking again: not past the next one due, and often enough to see newly scheduled ones. Pure. */
export function schedulerWaitMs({ more, nextInMs }: SchedulerStep): number {
  if (more) return 0;
  return Math.max(1, Math.min(500, Math.ceil(nextInMs ?? 500)));
}
