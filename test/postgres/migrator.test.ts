import { readdirSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { assertSchema, migrate, migrationStatus } from '../../src/postgres/migrator.ts';
import { createTestDatabase, uniquePrefix, type TestDatabase } from '../support/servers.ts';

/** What the package ships, and the file that a newer package would add. */
const SHIPPED = readdirSync(new URL('../../migrations/', import.meta.url))
  .filter((file) => file.endsWith('.sql'))
  .map((file) => /^\d+_(\w+)\.sql$/.exec(file)?.[1] ?? file);
const shipped = SHIPPED.length;
const VERSIONS = SHIPPED.map((_, index) => index + 1);
const allPending = SHIPPED.map(() => 'pending');
const next = (name: string): string => `${String(shipped + 1).padStart(4, '0')}_${name}.sql`;

let server: TestDatabase;
let database: Database;
let directory: URL;
let folder: string;

beforeAll(async () => {
  server = await createTestDatabase();
  database = openDatabase({ url: server.url });
});
afterAll(async () => {
  await database.close();
  await server.drop();
});
beforeEach(async () => {
  await database.query('DROP SCHEMA IF EXISTS holdfast CASCADE');
  folder = await mkdtemp(join(tmpdir(), 'migrations-'));
  await cp(new URL('../../migrations/', import.meta.url), folder, { recursive: true });
  directory = pathToFileURL(`${folder}/`);
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function write(file: string, text: string): Promise<void> {
  await writeFile(join(folder, file), text);
}

/** Everything in the database that a migration could change. */
async function catalog(of: Database = database): Promise<unknown> {
  const { rows } = await of.query(`
    SELECT nspname, relname, relkind FROM pg_namespace n LEFT JOIN pg_class c ON c.relnamespace = n.oid
    WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1, 2`);
  return rows;
}

describe('migrate', () => {
  test('says so when the ledger was emptied under the tables', async () => {
    await migrate(database);
    await database.query('TRUNCATE holdfast.migration');
    const failed = migrate(database);
    await expect(failed).rejects.toMatchObject({
      code: 'HF_MIGRATION_FAILED',
      message: expect.stringContaining('is empty'),
    });
  });

  test('applies every file once and writes it down', async () => {
    const applied = await migrate(database);
    expect(applied.map((migration) => migration.name)).toEqual(SHIPPED);
    expect(await migrate(database)).toEqual([]);
    const status = await migrationStatus(database);
    expect(
      status.map((each) => [each.version, each.state, each.appliedBy !== null, each.appliedAt instanceof Date]),
    ).toEqual(VERSIONS.map((version) => [version, 'applied', true, true]));
    expect(status[0]?.notes).toContain('For the operator');
  });

  test('goes no further than told, and later on from there', async () => {
    expect((await migrate(database, { to: 1 })).map((migration) => migration.version)).toEqual([1]);
    expect((await migrationStatus(database)).map((each) => each.state)).toEqual(['applied', ...allPending.slice(1)]);
    expect((await migrate(database)).map((migration) => migration.version)).toEqual(VERSIONS.slice(1));
    expect(await migrate(database, { to: 1 })).toEqual([]);
    await expect(migrate(database, { to: 99 })).rejects.toMatchObject({ code: 'HF_CONFIG' });
  });

  test('migrators that run at once share the work: every file is applied exactly once', async () => {
    const others = Array.from({ length: 4 }, () => openDatabase({ url: server.url }));
    const results = await Promise.all(others.map(async (other) => migrate(other)));
    expect(
      results
        .flat()
        .map((migration) => migration.version)
        .toSorted((a, b) => a - b),
    ).toEqual(VERSIONS);
    await Promise.all(others.map(async (other) => other.close()));
  });

  test('a dry run returns the SQL with the schema in place and changes nothing', async () => {
    const other = openDatabase({ url: server.url, schema: 'other_app' });
    const before = await catalog();
    const pending = await migrate(other, { dryRun: true });
    expect(pending.map((migration) => migration.version)).toEqual(VERSIONS);
    expect(pending[0]?.sql).toContain('CREATE TABLE "other_app".outbox');
    expect(await catalog()).toEqual(before);
    await other.close();
  });

  test('two schemas stand side by side in one database', async () => {
    const other = openDatabase({ url: server.url, schema: 'Other-App' });
    await migrate(other);
    await migrate(database);
    await assertSchema(other);
    await other.query(`SELECT "Other-App".send('order.placed', '{}')`);
    expect((await other.query('SELECT * FROM "Other-App".outbox')).rowCount).toBe(1);
    expect((await database.query('SELECT * FROM holdfast.outbox')).rowCount).toBe(0);
    await other.query('DROP SCHEMA "Other-App" CASCADE');
    await other.close();
  });

  test('an applied file that was changed is refused before anything runs; new line ends are no change', async () => {
    await migrate(database, { to: 1, directory });
    const text = await readFile(join(folder, '0001_outbox.sql'), 'utf8');
    await write('0001_outbox.sql', text.replaceAll('\n', '\r\n'));
    expect((await migrationStatus(database, { directory })).map((each) => each.state)).toEqual([
      'applied',
      ...allPending.slice(1),
    ]);
    await write('0001_outbox.sql', `${text}-- more\n`);
    await expect(migrate(database, { directory })).rejects.toMatchObject({
      code: 'HF_MIGRATION_CHANGED',
      details: { version: 1 },
    });
    expect((await migrationStatus(database, { directory })).map((each) => each.state)).toEqual([
      'changed',
      ...allPending.slice(1),
    ]);
  });

  test('tables of a newer package are refused, shown by status, and good enough to start with', async () => {
    await write(next('later'), 'CREATE TABLE "holdfast".later ();');
    await migrate(database, { directory });
    await expect(migrate(database)).rejects.toMatchObject({
      code: 'HF_SCHEMA_NEWER',
      details: { version: shipped + 1, known: shipped },
    });
    expect((await migrationStatus(database)).map((each) => [each.name, each.state])).toEqual([
      ...SHIPPED.map((name) => [name, 'applied']),
      ['later', 'unknown'],
    ]);
    await assertSchema(database);
  });

  test('a file that fails leaves nothing of itself, and says where it failed', async () => {
    await write(next('broken'), '-- Notes.\nCREATE TABLE "holdfast".half ();\nSELECT nonsense FROM nowhere;\n');
    const failure = await migrate(database, { directory }).catch((error: unknown) => error);
    expect(failure).toMatchObject({
      code: 'HF_MIGRATION_FAILED',
      details: { version: shipped + 1, sqlState: '42P01' },
    });
    expect(String(failure)).toContain(`${next('broken')}, line 3`);
    expect((await migrationStatus(database, { directory })).map((each) => each.state)).toEqual([
      ...SHIPPED.map(() => 'applied'),
      'pending',
    ]);
    expect(JSON.stringify(await catalog())).not.toContain('half');
  });

  test('a file that asks for it runs outside a transaction', async () => {
    await write(next('index'), '-- no-transaction\nCREATE INDEX CONCURRENTLY later ON "holdfast".outbox (topic);\n');
    await migrate(database, { directory });
    expect(JSON.stringify(await catalog())).toContain('later');
    const { rowCount } = await database.query(
      "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    );
    expect(rowCount).toBe(0);
  });

  test('unknown options are refused', async () => {
    await expect(migrate(database, { dryrun: true } as object)).rejects.toMatchObject({ code: 'HF_OPTION_UNKNOWN' });
  });
});

describe('under a role that may not create in the database', () => {
  const role = uniquePrefix('role').replaceAll('-', '_');
  let limited: Database;

  beforeAll(async () => {
    await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'`);
    const url = Object.assign(new URL(server.url), { username: role, password: 'secret' });
    limited = openDatabase({ url: url.href });
  });
  afterAll(async () => {
    await limited.close();
    await database.query(`DROP OWNED BY ${role} CASCADE`);
    await database.query(`DROP ROLE ${role}`);
  });

  test('a missing schema is refused with the statement that an administrator should run', async () => {
    const failure = await migrate(limited).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'HF_PERMISSION' });
    expect(String(failure)).toContain('CREATE SCHEMA "holdfast" AUTHORIZATION');
  });

  test('a schema that it owns is enough', async () => {
    await database.query(`CREATE SCHEMA holdfast AUTHORIZATION ${role}`);
    expect(await migrate(limited)).toHaveLength(shipped);
    await assertSchema(limited);
    expect((await migrationStatus(limited)).map((each) => each.appliedBy)).toEqual(
      Array.from({ length: shipped }, () => role),
    );
  });

  test('so is a schema in which it may create', async () => {
    await database.query('CREATE SCHEMA holdfast');
    await database.query(`GRANT USAGE, CREATE ON SCHEMA holdfast TO ${role}`);
    expect(await migrate(limited)).toHaveLength(shipped);
  });

  test('without rights on the ledger it is told so', async () => {
    await migrate(database);
    await expect(assertSchema(limited)).rejects.toMatchObject({ code: 'HF_PERMISSION' });
  });
});

describe('assertSchema', () => {
  test('a database without tables, or with too old ones', async () => {
    await expect(assertSchema(database)).rejects.toMatchObject({ code: 'HF_SCHEMA_MISSING', details: { version: 0 } });
    await migrate(database, { to: 1 });
    await expect(assertSchema(database)).rejects.toMatchObject({ code: 'HF_SCHEMA_MISSING', details: { version: 1 } });
    await migrate(database);
    await assertSchema(database);
  });

  test('a server that is not there', async () => {
    const nowhere = openDatabase({ pool: { host: '127.0.0.1', port: 1 } });
    await expect(assertSchema(nowhere)).rejects.toMatchObject({ code: 'HF_DATABASE_UNAVAILABLE' });
    await nowhere.close();
  });
});

test('functions work whatever the search_path of the caller', async () => {
  await migrate(database);
  const client = new pg.Client(server.url);
  await client.connect();
  await client.query('SET search_path = nowhere');
  await client.query(`SELECT holdfast.send('order.placed', '{}', key => 'o-1')`);
  expect((await client.query('SELECT * FROM holdfast.outbox')).rowCount).toBe(1);
  await client.end();
});
