/** The doctor compares the schema with what the migrations make. What it shows as repair, run as it stands, makes it so again. */
import { readFileSync } from 'node:fs';
import { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkDrift } from '../../src/operations/doctor/doctor-drift.ts';
import { doctor } from '../../src/operations/doctor/doctor.ts';
import { grantsOfRoles, writeExpectedSchema } from '../../src/operations/doctor/expected-schema.ts';
import { settleDoctorOptions, type CheckFinding } from '../../src/operations/doctor/finding.ts';
import { limitedDatabase } from '../../src/operations/doctor/limited-database.ts';
import { schemaObjects } from '../../src/operations/doctor/schema-objects.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { migrate } from '../../src/postgres/migrator.ts';
import { documentedGrants, documentedRoles } from '../support/documented-roles.ts';
import { schemaSources } from '../support/schema-sources.ts';
import { createTestDatabase, testPostgresVersion, uniquePrefix, type TestDatabase } from '../support/servers.ts';

let test: TestDatabase;
let database: Database;
beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  database = openDatabase({ pool: test.pool });
});
afterAll(() => test.drop());

const drift = async (on: Database = database): Promise<readonly CheckFinding[]> =>
  checkDrift(limitedDatabase(on), settleDoctorOptions());
const names = (found: readonly CheckFinding[]) => found.map(({ level, check }) => `${level} ${check}`);

/** As a person would: CONCURRENTLY wants a statement to itself. */
async function run(repair: string): Promise<void> {
  const statements = repair.includes('CONCURRENTLY') ? repair.split('\n') : [repair];
  for (const each of statements) await test.pool.query(each);
}

describe('a schema as the migrations make it', () => {
  it('has nothing to be told of, whatever it is called', async () => {
    expect(await drift()).toEqual([]);
    for (const schema of ['Tenant-1', 'tenant_2', 'key']) {
      const other = openDatabase({ pool: test.pool, schema });
      await migrate(other);
      expect(await drift(other)).toEqual([]);
    }
  });

  it('has nothing to be told of when it was renamed, but that', async () => {
    await test.pool.query('ALTER SCHEMA tenant_2 RENAME TO tenant_3');
    const moved = openDatabase({ pool: test.pool, schema: 'tenant_3' });
    expect(await drift(moved)).toEqual([]);
    expect((await doctor(moved)).findings.map(({ check }) => check)).toContain('tables.stray-functions');
    await migrate(moved);
    expect(await drift(moved)).toEqual([]);
  });

  it('is not compared when it is newer, or its migrations were edited', async () => {
    const next = { version: 9_000, name: 'to_come', checksum: 'x' };
    await test.pool.query(
      'INSERT INTO holdfast.migration (version, name, checksum) VALUES ($1, $2, $3)',
      Object.values(next),
    );
    const newer = await doctor(database);
    expect(newer.findings.map(({ check }) => check)).toContain('schema.newer');
    expect(newer.checks).toContain('flow');
    expect(newer.checks).not.toContain('drift');
    await test.pool.query('DELETE FROM holdfast.migration WHERE version = 9000');
    const { rows } = await test.pool.query<{ checksum: string }>(
      `UPDATE holdfast.migration SET checksum = 'edited' WHERE version = 2 RETURNING checksum`,
    );
    expect(rows).toHaveLength(1);
    const edited = await doctor(database);
    expect(edited.findings.map(({ check }) => check)).toContain('schema.changed');
    expect(edited.checks).not.toContain('drift');
    await test.pool.query(`DELETE FROM holdfast.migration WHERE version = 2`);
    await test.pool.query(
      `INSERT INTO holdfast.migration (version, name, checksum) SELECT 2, name, checksum FROM "Tenant-1".migration WHERE version = 2`,
    );
    expect((await doctor(database)).findings.map(({ check }) => check)).not.toContain('schema.changed');
  });
});

describe('what was changed is told of, and mended by what is shown', () => {
  it.each<[string, string, string, RegExp]>([
    ['an index', 'DROP INDEX holdfast.outbox_xid_seq', 'warn schema.missing', /index outbox_xid_seq of outbox/],
    ['a unique index', 'DROP INDEX holdfast.outbox_id', 'error schema.missing', /index outbox_id/],
    [
      'an index on something else',
      'DROP INDEX holdfast.parked_message_id; CREATE INDEX parked_message_id ON holdfast.parked_message (topic)',
      'warn schema.differs',
      /\(topic\).*\(id\)/,
    ],
    [
      'a column',
      'ALTER TABLE holdfast.saga_run DROP COLUMN refused',
      'error schema.missing',
      /column refused of saga_run/,
    ],
    [
      'the type of a column',
      'ALTER TABLE holdfast.saga_run ALTER COLUMN signals TYPE bigint',
      'error schema.differs',
      /is bigint, and should be integer/,
    ],
    [
      'NOT NULL',
      'ALTER TABLE holdfast.outbox ALTER COLUMN topic DROP NOT NULL',
      'error schema.differs',
      /text NOT NULL/,
    ],
    [
      'a default',
      'ALTER TABLE holdfast.worker ALTER COLUMN codes DROP DEFAULT',
      'error schema.differs',
      /codes of worker/,
    ],
    [
      'an identity',
      'ALTER TABLE holdfast.audit ALTER COLUMN id SET GENERATED BY DEFAULT',
      'error schema.differs',
      /id of audit/,
    ],
    [
      'a check',
      'ALTER TABLE holdfast.saga_run DROP CONSTRAINT saga_run_status_check',
      'error schema.missing',
      /constraint saga_run_status_check/,
    ],
    ['a primary key', 'ALTER TABLE holdfast.inbox DROP CONSTRAINT inbox_pkey', 'error schema.missing', /inbox_pkey/],
    [
      'a function',
      'DROP FUNCTION holdfast.send(text, jsonb, text, jsonb, uuid, integer)',
      'error schema.missing',
      /function send\(/,
    ],
    ['a function without a body of its own', 'DROP FUNCTION holdfast.uuid_v7()', 'error schema.missing', /uuid_v7/],
    [
      'what a function does',
      `CREATE OR REPLACE FUNCTION holdfast.wake_workers() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$ BEGIN END $$`,
      'error schema.differs',
      /function wake_workers\(\) is not as the migrations make it/,
    ],
    [
      'with whose rights a function runs',
      'ALTER FUNCTION holdfast.write_outbox(text, boolean) SECURITY INVOKER',
      'error schema.differs',
      /write_outbox/,
    ],
    [
      'by which search_path a function looks',
      'ALTER FUNCTION holdfast.write_outbox(text, boolean) RESET search_path',
      'error schema.differs',
      /write_outbox/,
    ],
    [
      'a trigger',
      'DROP TRIGGER audit_is_kept ON holdfast.audit',
      'error schema.missing',
      /trigger audit_is_kept of audit/,
    ],
    [
      'a trigger that does not fire',
      'ALTER TABLE holdfast.saga_run DISABLE TRIGGER saga_run_terminal',
      'error schema.differs',
      /saga_run_terminal.*disabled/,
    ],
    ['a sequence', 'DROP SEQUENCE holdfast.worker_asleep', 'error schema.missing', /sequence worker_asleep/],
    [
      'the ends of a sequence',
      'ALTER SEQUENCE holdfast.worker_asleep MAXVALUE 9',
      'error schema.differs',
      /MAXVALUE 9, and should be .*MAXVALUE 2/,
    ],
    ['a type', 'ALTER TYPE holdfast.claimed_run DROP ATTRIBUTE mail', 'error schema.differs', /type claimed_run/],
    ['a whole table', 'DROP TABLE holdfast.parked_message', 'error schema.missing', /table parked_message is missing/],
    ['the audit with its number', 'DROP TABLE holdfast.audit', 'error schema.missing', /table audit is missing/],
    [
      'row level security',
      'ALTER TABLE holdfast.outbox ENABLE ROW LEVEL SECURITY',
      'error schema.row-security',
      /security is on for the table outbox/,
    ],
    [
      'a trigger of somebody',
      `CREATE TRIGGER mine BEFORE UPDATE ON holdfast.saga_run FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()`,
      'note schema.extra',
      /trigger mine of saga_run is not of any migration/,
    ],
    ['a column of somebody', 'ALTER TABLE holdfast.outbox ADD COLUMN tenant text', 'note schema.extra', /tenant/],
    ['a unique index of somebody', 'CREATE UNIQUE INDEX mine ON holdfast.outbox (key)', 'note schema.extra', /mine/],
    [
      'a check of somebody',
      `ALTER TABLE holdfast.outbox ADD CONSTRAINT mine CHECK (topic <> 'x')`,
      'note schema.extra',
      /mine/,
    ],
  ])('%s', async (_, damage, told, what) => {
    await test.pool.query(damage);
    const found = await drift();
    expect(names(found)).toEqual([told]);
    expect(found[0]?.what).toMatch(what);
    await run(found[0]?.repair ?? '');
    expect(await drift()).toEqual([]);
  });

  it('a function that is made anew is not for everybody, and still sends', async () => {
    const { rows } = await test.pool.query<{ open: string }>(
      `SELECT string_agg(p.proname, ',') AS open FROM pg_proc p WHERE p.pronamespace = 'holdfast'::regnamespace
         AND p.proname IN ('send', 'uuid_v7') AND has_function_privilege('pg_monitor', p.oid, 'EXECUTE')`,
    );
    expect(rows).toEqual([{ open: null }]);
    await test.pool.query(`SELECT holdfast.send('order.placed', '{}', key => 'k')`);
  });

  it('what allow_topics makes is of ours, and so is an index that only reads faster of yours', async () => {
    await test.pool.query(`SELECT holdfast.allow_topics('pg_monitor', '{order.**}')`);
    await test.pool.query('CREATE INDEX mine ON holdfast.outbox (key)');
    expect(await drift()).toEqual([]);
    await test.pool.query('DROP INDEX holdfast.mine');
  });

  it('the doctor goes on when a table is missing', async () => {
    await test.pool.query('DROP TABLE holdfast.replay');
    const { findings } = await doctor(database);
    expect(findings.find(({ check }) => check === 'schema.missing')).toMatchObject({
      why: expect.stringMatching(/Statements fail/) as string,
      repair: expect.stringMatching(/CREATE TABLE "holdfast"."replay"/) as string,
    });
    expect(findings.map(({ check }) => check)).toContain('doctor.unfinished');
    await run(findings.find(({ check }) => check === 'schema.missing')?.repair ?? '');
    expect(await drift()).toEqual([]);
  });
});

// The text of it comes from one version; that the others agree is what the tests above show.
it.skipIf(testPostgresVersion().major !== 15)('the file is what `npm run schema` writes', async () => {
  const fresh = await createTestDatabase({ migrate: true });
  const prefix = uniquePrefix('part').replaceAll('-', '_');
  const pool = new Pool({ connectionString: fresh.url });
  try {
    for (const role of documentedRoles()) await pool.query(`CREATE ROLE ${prefix}_${role}`);
    await pool.query(documentedGrants(prefix));
    const made = await openDatabase({ pool }).transaction(async (client) => {
      await client.query('SET LOCAL search_path = pg_catalog');
      return {
        objects: await schemaObjects(client, 'holdfast'),
        grants: await grantsOfRoles(client, 'holdfast', prefix),
      };
    });
    const file = readFileSync(new URL('../../migrations/expected-schema.json', import.meta.url), 'utf8');
    expect(file).toBe(writeExpectedSchema(made, await schemaSources()));
  } finally {
    for (const role of documentedRoles())
      await pool.query(`DROP OWNED BY ${prefix}_${role}; DROP ROLE ${prefix}_${role}`);
    await pool.end();
    await fresh.drop();
  }
});
