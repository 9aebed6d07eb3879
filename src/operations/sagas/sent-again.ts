/**
 * Commands and compensations that a run sent again, because no reply came. Such a sending is recorded nowhere but in the log itself, so it
 * is looked for there at the times for which the journal had it planned.
 */
import type { Database } from '../../postgres/database.ts';
import { seqAfter, seqBefore } from '../../relay/log/log-position.ts';
import type { JournalRow } from '../../saga/journal/events.ts';
import type { CallKind } from '../../saga/definition/kind-names.ts';
import type { Kind } from '../../saga/kinds/kind.ts';
import { kindOf } from '../../saga/kinds/table.ts';
import { readJson, type BoundedRead } from '../reads/bounded.ts';
import { refColumns, type RefRow } from '../reads/message-ref.ts';

/** Places in the log, from and to. */
export type SeqRange = readonly [from: number, to: number];

/** Of the last sendings only; and so many rows of the log are looked through for each. */
const MOST_SENDINGS = 3;
const MOST_ROWS = 20_000;
/** After the planned time, in milliseconds: a worker was busy, or one had to be found. */
const LATE_MS = 5_000;

/** Undefined for a kind of a later version: what it does is not known here, and whoever looks at a run is not to fail for it. */
export function knownKind(call: { readonly kind: CallKind }): Kind | undefined {
  return kindOf(call);
}

/** Where in the log the last sendings of the run should be. Before a connection is held: it takes one for itself. */
export async function rangesSentAgain(
  database: Database,
  journal: readonly JournalRow[],
): Promise<readonly SeqRange[]> {
  const sent = new Set<string>();
  const plannedAt: number[] = [];
  for (const event of journal.flatMap(({ events }) => events)) {
    if (event.t === 'called' && knownKind(event)?.isSentAgain === true) sent.add(event.call);
    if (event.t !== 'attempt failed' && event.t !== 'compensation failed') continue;
    if (sent.has(event.call) && event.retryAt !== undefined) plannedAt.push(event.retryAt);
  }
  const ranges: SeqRange[] = [];
  for (const at of plannedAt.slice(-MOST_SENDINGS)) {
    ranges.push([
      await seqBefore(database, database.schema, new Date(at)),
      await seqAfter(database, database.schema, new Date(at + LATE_MS)),
    ]);
  }
  return ranges;
}

/** `whole`: all of it could be looked through. */
export async function readSentAgain(
  read: BoundedRead,
  runId: string,
  ranges: readonly SeqRange[],
): Promise<{ readonly rows: readonly RefRow[]; readonly whole: boolean }> {
  const { schema } = read;
  const rows: RefRow[] = [];
  let whole = true;
  for (const [from, to] of ranges) {
    const found = await readJson<{ readonly looked: number; readonly rows: readonly RefRow[] }>(
      read,
      `WITH walked AS MATERIALIZED (
         SELECT s.seq FROM ${schema}.outbox s WHERE s.seq >= $2::bigint AND s.seq < $3::bigint ORDER BY s.seq LIMIT ${MOST_ROWS})
       SELECT json_build_object('looked', (SELECT count(*)::int FROM walked), 'rows', (SELECT coalesce(json_agg(m), '[]') FROM (
         SELECT ${refColumns('o')} FROM ${schema}.outbox o
         WHERE o.seq >= $2::bigint AND o.seq <= (SELECT max(w.seq) FROM walked w)
           AND o.headers -> 'headers' ->> 'holdfast-saga' = $1::text ORDER BY o.seq LIMIT 100) m))::text AS answer`,
      [runId, from, to],
    );
    if (found === null || found.value.looked === MOST_ROWS) whole = false;
    rows.push(...(found?.value.rows ?? []));
  }
  return { rows, whole };
}
