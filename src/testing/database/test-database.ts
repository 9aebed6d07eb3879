/**
 * A migrated database for one test file, gone when the test drops it. Where no server is given, one is started for this process and ends
 * with it.
 */
import { randomBytes } from 'node:crypto';
import { openDatabase, type Database } from '../../postgres/database.ts';
import { assertSchemaName, DEFAULT_SCHEMA } from '../../postgres/quoting.ts';
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';
import { findOrStartPostgres, type PostgresServer } from '../../servers/postgres.ts';
import { copyTemplate, databaseUrl, dropDatabase, ensureTemplate } from './template.ts';

/** Options of {@link createTestDatabase}. */
export interface TestDatabaseOptions {
  /**
   * A database on the server to use, as a role that may create others. It is not written to.
   *
   * @defaultValue HOLDFAST_TEST_DATABASE_URL of the environment; else a server is started, once a process
   */
  readonly url?: string | undefined;
  /**
   * Schema of the Holdfast tables.
   *
   * @defaultValue 'holdfast'
   */
  readonly schema?: string | undefined;
  /**
   * Most connections of `database`.
   *
   * @defaultValue 10
   */
  readonly max?: number | undefined;
}

/** A database of a test's own. Made by {@link createTestDatabase}. */
export interface TestDatabase {
  /** For clients and programs of your own. */
  readonly url: string;
  /** Migrated; closed by `drop`. */
  readonly database: Database;
  /** Closes `database`, cuts every other connection, removes the database. Idempotent. */
  readonly drop: () => Promise<void>;
}

/**
 * A migrated database that nobody else uses: a copy of a template that is migrated once for each server, so it takes some tens of
 * milliseconds. Test files that run side by side do not meet. Call it in `beforeAll`, and `drop` in `afterAll`.
 *
 * @throws HoldfastError HF_SERVER_MISSING with what to install, HF_PERMISSION, HF_CONFIG, HF_OPTION_UNKNOWN
 * @example
 * const { database, url, drop } = await createTestDatabase();
 * await database.query('CREATE TABLE orders (id text PRIMARY KEY)');
 * console.log(url);
 * await drop();
 */
export async function createTestDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  refuseUnknownOptions(options, ['url', 'schema', 'max'], 'createTestDatabase');
  const { max = 10 } = options;
  const schema = assertSchemaName(options.schema ?? DEFAULT_SCHEMA);
  const adminUrl = options.url === undefined ? (await sharedServer()).adminUrl : checkUrl(options.url);
  const template = await ensureTemplate(adminUrl, schema);
  const name = `holdfast_test_${randomBytes(8).toString('hex')}`;
  await copyTemplate(adminUrl, template, name);
  const url = databaseUrl(adminUrl, name);
  const database = openDatabase({ url, schema, max });
  let dropped: Promise<void> | undefined;
  return {
    url,
    database,
    drop() {
      dropped ??= database.close().then(() => dropDatabase(adminUrl, name));
      return dropped;
    },
  };
}

function checkUrl(url: unknown): string {
  if (typeof url === 'string' && URL.canParse(url) && /^postgres(ql)?:$/.test(new URL(url).protocol)) return url;
  throw badOption('createTestDatabase', 'has a url that is none', "Write url: 'postgres://localhost/postgres'.");
}

/** Runners of tests load modules anew for each file: what one process has to share stands where all of them find it. */
const shared = globalThis as typeof globalThis & { [SERVER]?: Promise<PostgresServer> };
const SERVER = Symbol.for('holdfast.testing.server');

/** A failure is not remembered. */
function sharedServer(): Promise<PostgresServer> {
  shared[SERVER] ??= findOrStartPostgres().catch((error: unknown) => {
    delete shared[SERVER];
    throw error;
  });
  return shared[SERVER];
}

const VARIABLE = 'HOLDFAST_TEST_DATABASE_URL';

/**
 * One PostgreSQL for all test files of a run, for the global setup of a test runner: starts a server, unless
 * HOLDFAST_TEST_DATABASE_URL names one, and names it there for the processes that the runner starts. Resolves with what ends it.
 * Without this each process of the runner starts a server of its own.
 *
 * @throws HoldfastError HF_SERVER_MISSING with what to install
 * @example
 * const stop = await shareTestServer();
 * await stop();
 */
export async function shareTestServer(): Promise<() => Promise<void>> {
  const before = process.env[VARIABLE];
  const server = await findOrStartPostgres();
  process.env[VARIABLE] = server.adminUrl;
  return async () => {
    if (before === undefined) delete process.env[VARIABLE];
    else process.env[VARIABLE] = before;
    await server.dispose();
  };
}
