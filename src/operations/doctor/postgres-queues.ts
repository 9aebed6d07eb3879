/**
 * All queues of Holdfast's in a PostgreSQL that carries messages, as they stand: for `holdfast doctor` and `holdfast status`. Read by one
 * query of the database that they ask anyway, without BullMQ's client.
 */
import type { Database } from '../../postgres/database.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { classifySqlError } from '../../postgres/sql-state.ts';
import { assessQueue } from '../../transport/bullmq/queue-state.ts';
import type { FoundQueue } from '../../transport/port.ts';

/** BullMQ's own default; queues in another schema are not looked for. */
const SCHEMA = 'bullmq';

interface Row {
  readonly destination: string;
  readonly meta: Readonly<Record<string, string>>;
  readonly waiting: string;
  readonly active: string;
  readonly delayed: string;
  readonly failed: string;
}

/** Asked first, since a table that is missing would be an error in the server's log each time. */
async function areThere(database: Database): Promise<boolean> {
  const { rows } = await database.query<{ there: boolean }>(
    `SELECT CASE WHEN to_regnamespace($1) IS NULL THEN false WHEN NOT has_schema_privilege($1, 'USAGE') THEN false
       ELSE to_regclass($1 || '.meta') IS NOT NULL AND to_regclass($1 || '.job') IS NOT NULL END AS there`,
    [SCHEMA],
  );
  return rows[0]?.there === true;
}

/** None where there are no such tables, or the role may not read them. Who is connected to a queue cannot be told here. */
export async function queuesOnPostgres(database: Database): Promise<readonly FoundQueue[]> {
  const s = quoteIdentifier(SCHEMA);
  const count = (state: string): string => `coalesce(sum(n) FILTER (WHERE state = '${state}'), 0) AS ${state}`;
  try {
    if (!(await areThere(database))) return [];
    // Only ours have their partitions written beside them; partitions but the first have a number behind '#'.
    const { rows } = await database.query<Row>(
      `SELECT m.queue AS destination, (SELECT jsonb_object_agg(field, value) FROM ${s}.meta a WHERE a.queue = m.queue) AS meta,
         ${['waiting', 'active', 'delayed', 'failed'].map(count).join(', ')}
       FROM ${s}.meta m LEFT JOIN (
         SELECT split_part(queue, '#', 1) AS queue, state::text AS state, count(*) AS n FROM ${s}.job
         WHERE state IN ('waiting', 'active', 'delayed', 'failed') GROUP BY 1, 2) AS jobs ON jobs.queue = m.queue
       WHERE m.field = 'holdfastPartitions' GROUP BY m.queue ORDER BY m.queue LIMIT 500`,
    );
    return rows.map(({ destination, meta, ...counts }) => {
      const facts = {
        waiting: Number(counts.waiting),
        active: Number(counts.active),
        delayed: Number(counts.delayed),
        failed: Number(counts.failed),
      };
      return {
        destination,
        state: assessQueue({ destination, meta, ...facts, workers: null, owner: null, nowMs: Date.now() }),
      };
    });
  } catch (error) {
    if (['schema', 'permission'].includes(classifySqlError(error))) return [];
    throw error;
  }
}
