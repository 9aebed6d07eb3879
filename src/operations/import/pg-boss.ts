/**
 * The jobs of pg-boss.
 */
import type { Database } from '../../postgres/database.ts';
import { assertSeen, assertTried, qualified, type ImportSource } from './source.ts';

/** Versions of its schema, and the release that made the tables of the tests. */
const TRIED: ReadonlyMap<number, string> = new Map([
  [24, 'pg-boss 10.4.2'],
  [46, 'pg-boss 12.38.0'],
]);
/** From this version on there are groups, and jobs that wait for others. */
const WITH_GROUPS = 46;

/** Rejects with HF_CONFIG when there is no pg-boss in the schema, or one whose tables were not tried, and with HF_PERMISSION. */
export async function pgBossSource(database: Database, schema = 'pgboss'): Promise<ImportSource> {
  const table = qualified(schema, 'job');
  const label = `${schema}.job`;
  await assertSeen(database, table, label);
  const { rows } = await database.query<{ version: number }>(`SELECT version FROM ${qualified(schema, 'version')}`);
  const version = rows[0]?.version ?? null;
  assertTried('pg-boss', version, TRIED);
  const hasGroups = version !== null && version >= WITH_GROUPS;
  const chained = hasGroups ? `WHEN j.blocked OR j.blocking THEN 'chained'` : '';
  return {
    kind: 'pg-boss',
    label,
    table,
    from: `${table} j`,
    identity: [
      { sql: 'j.name', type: 'text' },
      { sql: 'j.id', type: 'uuid' },
    ],
    order: [
      { sql: 'j.created_on', type: 'timestamptz' },
      { sql: 'j.name', type: 'text' },
      { sql: 'j.id', type: 'uuid' },
    ],
    name: 'j.name',
    payload: 'j.data',
    key: hasGroups ? 'coalesce(j.group_id, j.singleton_key)' : 'j.singleton_key',
    due: 'j.start_after',
    // A job that is tried again waits for its time as a new one does.
    state: `CASE WHEN j.state = 'active' THEN 'busy' WHEN j.state = 'failed' THEN 'failed'
      WHEN j.state NOT IN ('created', 'retry') THEN 'ended' ${chained} ELSE 'waiting' END`,
    attempts: 'j.retry_count',
    mark: null,
  };
}
