/**
 * The servers of a soak: a PostgreSQL that waits for the disk, and a Redis that writes down what it does. Temporary, or in a folder that the next
 * one goes on with.
 */
import { chownSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { SERVICES } from '../../demo/services/all.ts';
import { SERVICE_NAMES, type World } from '../../demo/world.ts';
import { migrate, openDatabase, type Database } from '../../src/index.ts';
import { unprivilegedUser } from '../../src/servers/machine.ts';
import { startPostgres, type PostgresServer } from '../../src/servers/postgres.ts';
import { redisCommand } from '../../src/servers/redis-command.ts';
import { startRedis, type RedisServer } from '../../src/servers/redis.ts';
import { FLOOD_TABLES, ORDER_TABLES, SINK_TABLES } from './flood/tables.ts';
import { DATABASE_NAMES, type DatabaseName, type DatabaseUrls } from './setting.ts';

export type SoakDatabases = Readonly<Record<DatabaseName, Database>>;

export interface SoakServers {
  readonly postgres: PostgresServer;
  readonly redis: RedisServer;
  readonly urls: DatabaseUrls;
  /** For the judge and the operator. */
  readonly databases: SoakDatabases;
  /** In good order. What was not to be kept is gone. */
  dispose(): Promise<void>;
}

/** What was acknowledged is in the file before; a death of the process loses nothing. */
const APPEND_ONLY = ['--appendonly', 'yes', '--appendfsync', 'everysec'];
const CONNECTIONS = 3;

/** @param folder undefined: temporary */
export async function startSoakServers(folder: string | undefined, world: World): Promise<SoakServers> {
  const postgres = await startPostgres({
    durable: true,
    settings: { max_connections: '500' },
    ...(folder === undefined ? {} : { folder: join(folder, 'postgres') }),
  });
  let redis: RedisServer;
  try {
    const dir = folder === undefined ? [] : ['--dir', folderFor(join(folder, 'redis'))];
    redis = await startRedis({ args: [...APPEND_ONLY, ...dir] });
  } catch (error) {
    await postgres.dispose();
    throw error;
  }
  const urls = await createMissingDatabases(postgres);
  const opened = DATABASE_NAMES.map((name) => [
    name,
    openDatabase({ url: urls[name], max: CONNECTIONS, applicationName: 'soak judge' }),
  ]);
  const databases = Object.fromEntries(opened) as SoakDatabases;
  await Promise.all(DATABASE_NAMES.map((name) => prepare(name, databases[name], world)));
  return {
    postgres,
    redis,
    urls,
    databases,
    async dispose() {
      await Promise.all(DATABASE_NAMES.map((name) => databases[name].close()));
      await Promise.all([postgres.stop('fast'), redis.stop()]);
      await Promise.all([postgres.dispose(), redis.dispose()]);
    },
  };
}

function folderFor(path: string): string {
  const { uid, gid } = unprivilegedUser();
  mkdirSync(path, { recursive: true, mode: 0o700 });
  if (uid !== undefined && gid !== undefined) chownSync(path, uid, gid);
  return path;
}

async function createMissingDatabases({ adminUrl }: PostgresServer): Promise<DatabaseUrls> {
  const admin = openDatabase({ url: adminUrl, max: 1 });
  try {
    const { rows } = await admin.query<{ name: string }>('SELECT datname AS name FROM pg_database');
    const there = new Set(rows.map(({ name }) => name));
    for (const name of DATABASE_NAMES) if (!there.has(name)) await admin.query(`CREATE DATABASE ${name}`);
  } finally {
    await admin.close();
  }
  const urls = DATABASE_NAMES.map((name) => [name, Object.assign(new URL(adminUrl), { pathname: `/${name}` }).href]);
  return Object.fromEntries(urls) as DatabaseUrls;
}

/** Its tables, whole or not at all. */
async function prepare(name: DatabaseName, database: Database, world: World): Promise<void> {
  await migrate(database);
  const { rows } = await database.query<{ there: boolean }>(`SELECT to_regclass('soak_is_ready') IS NOT NULL AS there`);
  if (rows[0]?.there === true) return;
  await database.query(`DROP SCHEMA public CASCADE; CREATE SCHEMA public`);
  const service = SERVICE_NAMES.find((each) => each === name);
  if (service === undefined) {
    await database.query(name === 'flood' ? FLOOD_TABLES : SINK_TABLES);
  } else {
    const { tables, ledger } = SERVICES[service];
    await database.query(tables);
    if (service === 'orders') await database.query(ORDER_TABLES);
    else await database.query(`CREATE INDEX ON ${ledger} (order_id)`);
    await SERVICES[service].fill?.(database, world);
  }
  await database.query('CREATE TABLE soak_is_ready ()');
}

/** What Redis says of itself, such as `used_memory` and `process_id`. Rejects when it does not answer. */
export async function redisFact({ port }: Pick<RedisServer, 'port'>, name: string): Promise<number> {
  const info = await redisCommand(port, ['INFO'], 2_000);
  const value = new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1];
  if (value === undefined) throw new Error(`Redis does not say its ${name}.`);
  return Number(value);
}
