/**
 * The jobs of Graphile Worker.
 */
import type { Database } from '../../postgres/database.ts';
import { assertSeen, assertTried, qualified, type ImportSource } from './source.ts';

/** Numbers of its last migration. What 20 changes are functions: the tables of 19 are the same. */
const TRIED: ReadonlyMap<number, string> = new Map([
  [19, 'the same tables'],
  [20, 'graphile-worker 0.18.0'],
]);

/** Rejects with HF_CONFIG when there is no Graphile Worker in the schema, or one whose tables were not tried, and with HF_PERMISSION. */
export async function graphileWorkerSource(database: Database, schema = 'graphile_worker'): Promise<ImportSource> {
  const migrations = qualified(schema, 'migrations');
  await assertSeen(database, migrations, `${schema}.migrations`);
  const { rows } = await database.query<{ version: number | null }>(`SELECT max(id) AS version FROM ${migrations}`);
  assertTried('graphile-worker', rows[0]?.version ?? null, TRIED);
  const table = qualified(schema, '_private_jobs');
  const label = `${schema}._private_jobs`;
  await assertSeen(database, table, label);
  const id = { sql: 'j.id', type: 'bigint' };
  return {
    kind: 'graphile-worker',
    label,
    table,
    from: `${table} j JOIN ${qualified(schema, '_private_tasks')} t ON t.id = j.task_id
      LEFT JOIN ${qualified(schema, '_private_job_queues')} q ON q.id = j.job_queue_id`,
    identity: [id],
    order: [id],
    name: 't.identifier',
    payload: 'j.payload',
    // Jobs of one queue run one after the other, as messages of one key do. The key of a job only keeps a second one from being added.
    key: 'coalesce(q.queue_name, j.key)',
    due: 'j.run_at',
    state: `CASE WHEN j.locked_at IS NOT NULL THEN 'busy' WHEN j.attempts >= j.max_attempts THEN 'failed' ELSE 'waiting' END`,
    attempts: 'j.attempts',
    mark: null,
  };
}
