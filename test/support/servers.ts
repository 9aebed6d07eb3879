/**
 * The servers of the tests: a fresh database on the run's shared PostgreSQL, the shared Redis with a prefix of one's own, and
 * private servers for tests that stop or kill them.
 */
import { randomBytes } from 'node:crypto';
import { Client, Pool } from 'pg';
import { inject } from 'vitest';
import { openDatabase } from '../../src/postgres/database.ts';
import { migrate } from '../../src/postgres/migrator.ts';

export { startPostgres, type PostgresServer } from '../../src/servers/postgres.ts';
export { startRedis, type RedisServer } from '../../src/servers/redis.ts';

export interface TestDatabase {
  readonly url: string;
  /** At most 10 connections. */
  readonly pool: Pool;
  /** Closes the pool, cuts every other connection, removes the database. */
  drop(): Promise<void>;
}

export interface TestDatabaseOptions {
  readonly migrate?: boolean;
  /** Default: the server's. */
  readonly encoding?: 'LATIN1';
}

/** A database of the caller's own: call it once per test file in beforeAll, and drop() in afterAll. */
export async function createTestDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  return createDatabaseOn(inject('postgresAdminUrl'), options);
}

/** The same on a server that the test started itself. */
export async function createDatabaseOn(adminUrl: string, options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const name = `test_${randomBytes(6).toString('hex')}`;
  const encoding =
    options.encoding === undefined
      ? ''
      : `ENCODING '${options.encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'`;
  await asAdmin(adminUrl, (client) => client.query(`CREATE DATABASE ${name} ${encoding}`));
  const url = Object.assign(new URL(adminUrl), { pathname: `/${name}` }).href;
  const pool = new Pool({ connectionString: url, max: 10 });
  // Connections that a test cuts while they are idle must not end the test process.
  pool.on('error', () => {});
  const database: TestDatabase = {
    url,
    pool,
    async drop() {
      await pool.end();
      await asAdmin(adminUrl, (client) => client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
    },
  };
  if (options.migrate === true) await migrate(openDatabase({ pool }));
  return database;
}

async function asAdmin(adminUrl: string, use: (client: Client) => Promise<unknown>): Promise<void> {
  const client = new Client({ connectionString: adminUrl });
  client.on('error', () => {});
  await client.connect();
  try {
    await use(client);
  } finally {
    await client.end();
  }
}

/** The server version of the shared PostgreSQL, for example 15.14. */
export function testPostgresVersion(): { readonly text: string; readonly major: number } {
  const text = inject('postgresVersion');
  return { text, major: Number.parseInt(text, 10) };
}

/** The shared Redis. Other test files use it at the same time: put a prefix of your own before every key and queue. */
export function sharedRedisUrl(): string {
  return inject('redisUrl');
}

/** A prefix nobody else has, without characters that BullMQ forbids in queue names. */
export function uniquePrefix(name = 'test'): string {
  return `${name}-${randomBytes(6).toString('hex')}`;
}
