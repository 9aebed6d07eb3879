/**
 * Tables as they are after months: a log that is full up to its retention, runs that have ended and are still kept, runs that wait. The rows
 * are those that writers, workers and clients would have left, written by the server itself.
 */
import { createRelay } from '../../src/relay/relay.ts';
import type { BenchDatabase } from './servers.ts';
import { noopSink } from './sink.ts';

export interface Growth {
  readonly messages: number;
  readonly ended: number;
  readonly waiting: number;
}

const ROWS_PER_COMMIT = 100_000;

/** Over the last six days: nothing is old enough to be pruned while it is measured. */
const MESSAGES = `INSERT INTO holdfast.outbox (xid, id, topic, key, lane, payload, headers, bytes, created_at)
  SELECT pg_current_xact_id(), holdfast.uuid_v7(), 'order.placed', 'customer-' || n % 1000, n % 1024,
    jsonb_build_object('orderId', 'order-' || n, 'customerId', 'customer-' || n % 1000, 'currency', 'EUR', 'totalCents', 1999 + n % 100,
      'note', 'Leave it with the neighbours, please, if nobody opens.'),
    '{"schemaversion":1,"source":"bench"}', 220, now() - interval '6 days' + n * (interval '6 days' / $3::float8)
  FROM generate_series($1::int, $2::int) AS n`;

const STARTED = `'[{"t":"started","input":{"run":' || n || '}}]'`;
const DONE = `'[{"t":"called","call":"reserve"},{"t":"done","call":"reserve","value":{"name":"reserve","run":' || n || ',"cents":1}}]'`;

/** Of the sagas that are measured, so that they stand in the same parts of the indexes. */
const ENDED = `WITH run AS (
    INSERT INTO holdfast.saga_run (id, saga, version, status, claims, result, started_at, updated_at, finished_at)
    SELECT holdfast.uuid_v7(), (ARRAY['three-steps', 'three-entries', 'three-commands'])[1 + n % 3], 1, 'completed', 1,
      ('{"run":' || n || ',"total":3}')::json, at, at, at
    FROM (SELECT n, now() - interval '20 days' + n * (interval '20 days' / $3::float8) AS at
      FROM generate_series($1::int, $2::int) AS n) AS old
    RETURNING id, finished_at, (result ->> 'run')::int AS n)
  INSERT INTO holdfast.saga_journal (saga_id, n, events, at, bytes)
  SELECT id, row, (CASE row WHEN 0 THEN ${STARTED} ELSE ${DONE} END)::json, finished_at, 120
  FROM run CROSS JOIN generate_series(0, 3) AS row`;

/** Half of them for a signal, half for a time that is far away; of a saga that nobody runs now. */
const WAITING = `WITH run AS (
    INSERT INTO holdfast.saga_run (id, saga, version, status, claims, wake_at)
    SELECT holdfast.uuid_v7(), 'approval', 1, 'waiting', 1, CASE WHEN n % 2 = 0 THEN now() + interval '30 days' END
    FROM generate_series($1::int, $2::int) AS n WHERE $3::float8 > 0 RETURNING id)
  INSERT INTO holdfast.saga_journal (saga_id, n, events, at, bytes)
  SELECT id, row, '[{"t":"started","input":{"run":1}}]', now(), 40 FROM run CROSS JOIN generate_series(0, 1) AS row`;

/** Fills a fresh database. A relay has read all of it, for each of these subscriptions. */
export async function grow(bench: BenchDatabase, growth: Growth, subscriptions: readonly string[]): Promise<void> {
  const indexes = await dropIndexes(bench);
  await inChunks(bench, MESSAGES, growth.messages);
  await inChunks(bench, ENDED, growth.ended);
  await inChunks(bench, WAITING, growth.waiting);
  for (const sql of indexes) await bench.database.query(sql, [], { timeoutMs: 600_000 });
  const { transport } = noopSink();
  const relay = createRelay({
    database: bench.database,
    subscriptions: subscriptions.map((name) => ({ name, transport, routes: [{ topics: '**', to: 'x' }], from: 'now' })),
  });
  await relay.prepare();
  await relay.stop();
  // Not settle(), whose statements are bounded as those of a service are.
  const client = await bench.connect();
  await client.query('VACUUM ANALYZE');
  await client.query('CHECKPOINT');
  await client.end();
}

/** Resolves with what makes them again: with all of them the filling takes three times as long. */
async function dropIndexes(bench: BenchDatabase): Promise<readonly string[]> {
  const { rows } = await bench.database.query<{ name: string; made_by: string }>(
    `SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS made_by FROM pg_index i
     WHERE i.indrelid IN ('holdfast.outbox'::regclass, 'holdfast.saga_run'::regclass) AND NOT i.indisprimary`,
  );
  for (const { name } of rows) await bench.database.query(`DROP INDEX ${name}`);
  return rows.map(({ made_by }) => made_by);
}

async function inChunks(bench: BenchDatabase, insert: string, count: number): Promise<void> {
  for (let from = 1; from <= count; from += ROWS_PER_COMMIT) {
    await bench.database.query(insert, [from, Math.min(count, from + ROWS_PER_COMMIT - 1), count]);
  }
}
