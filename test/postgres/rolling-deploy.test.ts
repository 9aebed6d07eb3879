/**
 * Migrations that make functions anew, seen by workers of before: the same calls, the same columns, the same rights.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openDatabase } from '../../src/postgres/database.ts';
import { migrate } from '../../src/postgres/migrator.ts';
import { createTestDatabase, uniquePrefix, type TestDatabase } from '../support/servers.ts';

const role = uniquePrefix('rolling').replaceAll('-', '_');
const WORKER = '00000000-0000-7000-8000-000000000001';
const CLAIM = {
  name: 'claim',
  text: 'SELECT * FROM holdfast.claim_runs($1, $2::text[], $3::int[], $4::int[], $5, $6)',
  values: [WORKER, ['s'], [1], [1], 1_000_000, 1_000_000],
};
let test: TestDatabase;

beforeAll(async () => {
  test = await createTestDatabase();
  await migrate(openDatabase({ pool: test.pool }), { to: 7 });
  await test.pool.query(`CREATE ROLE ${role}`);
});
afterAll(async () => {
  await test.pool.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  await test.drop();
});

async function claimFunctions(): Promise<readonly object[]> {
  const { rows } = await test.pool.query<object>(
    `SELECT p.oid::regprocedure::text AS signature, pg_get_function_arguments(p.oid) AS arguments,
       has_function_privilege($1, p.oid, 'EXECUTE') AS allowed,
       EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = 0) AS public,
       p.proconfig::text AS settings, p.prosecdef AS definer
     FROM pg_proc p WHERE p.proname IN ('load_runs', 'claim_runs', 'claim_these_runs') ORDER BY 1`,
    [role],
  );
  return rows;
}

it('claims go on while migration 8 gives their functions a type, and rights stay as they were', async () => {
  await test.pool.query(
    `GRANT EXECUTE ON FUNCTION holdfast.claim_runs(uuid, text[], integer[], integer[], bigint, bigint) TO ${role}`,
  );
  await test.pool.query(
    `INSERT INTO holdfast.worker (id, name, sagas, lease_until) VALUES ($1, 'w', '[]', clock_timestamp() + interval '1 hour')`,
    [WORKER],
  );
  await test.pool.query(
    `INSERT INTO holdfast.saga_run (id, saga, version, status, wake_at)
     SELECT gen_random_uuid(), 's', 1, 'pending', clock_timestamp() FROM generate_series(1, 2)`,
  );
  const before = await claimFunctions();
  const old = await test.pool.connect();
  try {
    const first = await old.query<object>(CLAIM);
    await migrate(openDatabase({ pool: test.pool }), { to: 8 });
    // The same prepared statement on the same connection.
    const second = await old.query<object>(CLAIM);
    expect(second.fields.map(({ name, dataTypeID }) => [name, dataTypeID])).toEqual(
      first.fields.map(({ name, dataTypeID }) => [name, dataTypeID]),
    );
    expect([first.rows.length, second.rows.length]).toEqual([1, 1]);
  } finally {
    old.release(true);
  }
  const after = await claimFunctions();
  // The order of settings says nothing.
  expect(after.map(sorted)).toEqual(before.map(sorted));
  expect(after.filter((each) => 'allowed' in each && each.allowed === true)).toHaveLength(1);
});

function sorted(row: object): object {
  const { settings, ...rest } = row as { settings: string };
  return {
    ...rest,
    settings: settings
      .slice(1, -1)
      .split(/,(?=[a-z_"]+=)/)
      .toSorted(),
  };
}
