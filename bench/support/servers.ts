/**
 * The servers of one bench run: private, temporary, started when first asked for.
 */
import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { migrate } from '../../src/postgres/migrator.ts';
import { startPostgres, type PostgresServer } from '../../src/servers/postgres.ts';
import { startRedis, type RedisServer } from '../../src/servers/redis.ts';
import { startSlowWire, type SlowWire } from './slow-wire.ts';

export interface BenchDatabase {
  /** For contestants: behind the slow wire, if there is one. */
  readonly url: string;
  /** For filling and looking, past the slow wire; contestants open their own connections. */
  readonly database: Database;
  /** A connection of a contestant's own. */
  connect(): Promise<Client>;
  /** Tables as a service finds them after a while: statistics and hint bits there, dirty pages written. */
  settle(): Promise<void>;
  drop(): Promise<void>;
}

export interface Servers {
  /** A fresh, migrated database. */
  database(): Promise<BenchDatabase>;
  redis(): Promise<RedisServer>;
  dispose(): Promise<void>;
}

/**
 * As in production: every commit waits for the disk. A larger WAL, and larger buffers, because a checkpoint or an eviction in the
 * middle of one contestant's turn and not of the other's would decide a round.
 */
const SETTINGS = { shared_buffers: '512MB', max_wal_size: '8GB', checkpoint_timeout: '30min' };

/** `rttMs`: the round trip of a network that is put before PostgreSQL; 0 for none. */
export function benchServers(rttMs: number): Servers {
  let wire: Promise<SlowWire> | undefined;
  let postgres: Promise<PostgresServer> | undefined;
  let redis: Promise<RedisServer> | undefined;
  return {
    async database() {
      postgres ??= startPostgres({ durable: true, settings: SETTINGS });
      const { adminUrl, port } = await postgres;
      if (rttMs > 0) wire ??= startSlowWire({ port, rttMs });
      return createDatabase(adminUrl, (await wire)?.port ?? port);
    },
    redis() {
      redis ??= startRedis();
      return redis;
    },
    async dispose() {
      await (await wire)?.stop();
      await (await postgres)?.dispose();
      await (await redis)?.dispose();
    },
  };
}

/** `port`: of what contestants connect to. */
async function createDatabase(adminUrl: string, port: number): Promise<BenchDatabase> {
  const name = `bench_${randomBytes(4).toString('hex')}`;
  await asAdmin(adminUrl, `CREATE DATABASE ${name}`);
  const own = { pathname: `/${name}` };
  const database = openDatabase({ url: Object.assign(new URL(adminUrl), own).href });
  const url = Object.assign(new URL(adminUrl), own, { port: String(port) }).href;
  await migrate(database);
  return {
    url,
    database,
    async connect() {
      const client = new Client({ connectionString: url });
      await client.connect();
      return client;
    },
    async settle() {
      await database.query('VACUUM ANALYZE');
      await database.query('CHECKPOINT');
    },
    async drop() {
      await database.close();
      await asAdmin(adminUrl, `DROP DATABASE ${name} WITH (FORCE)`);
    },
  };
}

async function asAdmin(url: string, sql: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
