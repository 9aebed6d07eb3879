/** The stores of sagas on a PostgreSQL database of their own, as the conformance suite and the tests of the stores need them. */
import type { TransactionHandle } from '../../src/postgres/executor.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createPostgresClientStore } from '../../src/saga/store/postgres/postgres-client-store.ts';
import { createPostgresWorkerStore } from '../../src/saga/store/postgres/postgres-worker-store.ts';
import type { SagaStores } from '../conformance/saga-store-kit.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

export interface PostgresStores extends SagaStores<TransactionHandle> {
  readonly test: TestDatabase;
  readonly database: Database;
}

export async function openPostgresStores(): Promise<PostgresStores> {
  const test = await createTestDatabase({ migrate: true });
  const database = openDatabase({ url: test.url });
  const worker = createPostgresWorkerStore({ database });
  const other = createPostgresWorkerStore({ database });
  return {
    test,
    database,
    worker,
    other,
    client: createPostgresClientStore({ database }),
    async expire(workerId) {
      await test.pool.query(
        `UPDATE holdfast.worker SET lease_until = clock_timestamp() - interval '1 second' WHERE id = $1`,
        [workerId],
      );
    },
    transaction: (fn) => database.transaction((tx) => fn(tx)),
    outside: async (sql, parameters) => (await test.pool.query(sql, [...parameters])).rows,
    async messages() {
      return (await test.pool.query<{ id: string }>('SELECT id FROM holdfast.outbox ORDER BY seq')).rows.map(
        ({ id }) => id,
      );
    },
    async mailCount(runId) {
      const { rows } = await test.pool.query<{ n: number }>(
        'SELECT count(*)::int AS n FROM holdfast.saga_mail WHERE saga_id = $1',
        [runId],
      );
      return rows[0]?.n ?? 0;
    },
    async dispose() {
      await worker.close();
      await other.close();
      await database.close();
      await test.drop();
    },
  };
}
