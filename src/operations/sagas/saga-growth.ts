/**
 * Runs near what their journals may hold: at 100 percent they make no more calls and are stuck. The percentage is what their
 * workers have written down; the limits are those of the workers that are live.
 */
import { sql, type RawBuilder } from 'kysely';
import type { Database } from '../../postgres/database.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { rowsBySql } from '../reads/reads.ts';

/** Of one saga in one version. */
export interface GrownRuns {
  readonly saga: string;
  readonly version: number;
  /** That have reached half of a limit. Up to 10,000 are counted; `atLeast` then says that there are more. */
  readonly runs: number;
  readonly atLeast: boolean;
  /** Of the fullest: 50, 80 or 100. */
  readonly percent: number;
  /** That one. */
  readonly run: string;
  /** Of its live workers the lowest; null: none is live, or it is of an older version. */
  readonly limits: GrowthLimits | null;
}

/** How much the journal of a run may hold, as its worker has it. */
export interface GrowthLimits {
  readonly maxEvents: number;
  readonly maxJournalBytes: number;
}

/** How much is in one journal. */
export interface JournalFill {
  readonly events: number;
  /** UTF-8 bytes. */
  readonly bytes: number;
  /** Of the fuller of both: 0, 50, 80 or 100. */
  readonly percent: number;
  readonly limits: GrowthLimits | null;
}

const COUNT_LIMIT = 10_000;

const LIMITS = (
  s: string,
): string => `(SELECT json_build_object('maxEvents', min(w.max_events), 'maxJournalBytes', min(w.max_journal_bytes))
  FROM ${s}.worker w WHERE w.lease_until > clock_timestamp() AND w.sagas ? (g.saga || '@' || g.version) HAVING min(w.max_events) IS NOT NULL)`;

/** Along the index of such runs, which has an entry for none else. The fullest first. */
export async function grownRuns(database: Database): Promise<readonly GrownRuns[]> {
  const s = quoteIdentifier(database.schema);
  const found = await ask<Omit<GrownRuns, 'atLeast'>>(
    database,
    `SELECT g.saga, g.version, g.runs, g.percent, g.run, ${LIMITS(s)} AS limits FROM (
       SELECT saga, version, count(*)::int AS runs, max(growth)::int AS percent,
         (array_agg(id::text ORDER BY growth DESC, id DESC))[1] AS run
       FROM (SELECT id, saga, version, growth FROM ${s}.saga_run WHERE growth > 0 AND finished_at IS NULL
         ORDER BY id DESC LIMIT ${COUNT_LIMIT + 1}) r
       GROUP BY saga, version) g
     ORDER BY g.percent DESC, g.saga, g.version`,
    [],
  );
  return found.map((each) => ({
    ...each,
    runs: Math.min(each.runs, COUNT_LIMIT),
    atLeast: each.runs > COUNT_LIMIT,
  }));
}

/** Of one run, as one value of a query; null: it is not there. */
export function journalFill(database: Pick<Database, 'schema'>, id: string): RawBuilder<JournalFill | null> {
  const s = quoteIdentifier(database.schema);
  const text = `SELECT j.events, j.bytes, coalesce(g.growth, 0)::int AS percent, ${LIMITS(s)} AS limits FROM ${s}.saga_run g
     CROSS JOIN LATERAL (SELECT coalesce(sum(json_array_length(x.events)), 0)::int AS events,
         coalesce(sum(coalesce(x.bytes, octet_length(x.events::text))), 0)::float8 AS bytes
       FROM ${s}.saga_journal x WHERE x.saga_id = g.id) j
     WHERE g.id = `;
  return sql`(SELECT row_to_json(holdfast_row) FROM (${sql.raw(text)}${id}) AS holdfast_row)`;
}

/** What is said of such runs. */
export function describeLimits(limits: GrowthLimits | null): string {
  if (limits === null) return 'its limit of events or bytes';
  return `${limits.maxEvents} events or ${limits.maxJournalBytes} bytes`;
}

/** As one column of JSON, so that no parser of the process has a say. */
async function ask<Row>(database: Database, text: string, values: readonly unknown[]): Promise<readonly Row[]> {
  const asJson = `SELECT row_to_json(x)::text AS row FROM (${text}) x`;
  return (await rowsBySql<{ row: string }>(database, asJson, values)).map(({ row }) => JSON.parse(row) as Row);
}
