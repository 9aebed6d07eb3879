import { Redis } from 'ioredis';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { Client } from 'pg';
import { afterEach, describe, expect, it } from 'vitest';
import { startPostgres, type PostgresServer } from '../../src/servers/postgres.ts';
import { startRedis, type RedisServer } from '../../src/servers/redis.ts';
import { createTestDatabase, sharedRedisUrl, testPostgresVersion } from '../support/servers.ts';

const open: (PostgresServer | RedisServer)[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.dispose()));
});

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

describe('startPostgres', () => {
  it('keeps committed rows over an immediate stop, on the same port', async () => {
    const server = await startPostgres();
    open.push(server);
    await query(server.url, 'CREATE TABLE t AS SELECT 7 AS n');
    await server.stop('immediate');
    await expect(query(server.url, 'SELECT 1')).rejects.toThrow(/ECONNREFUSED/);
    await server.start();
    expect(await query(server.url, 'SELECT n FROM t')).toEqual([{ n: 7 }]);
  });

  it('runs beside another, each with its own settings and data', async () => {
    const [one, two] = await Promise.all([
      startPostgres({ settings: { work_mem: '9MB' } }),
      startPostgres({ durable: true }),
    ]);
    open.push(one, two);
    expect(one.port).not.toBe(two.port);
    expect(await query(one.url, 'SHOW work_mem')).toEqual([{ work_mem: '9MB' }]);
    expect(await query(one.url, 'SHOW fsync')).toEqual([{ fsync: 'off' }]);
    expect(await query(two.url, 'SHOW fsync')).toEqual([{ fsync: 'on' }]);
    expect(await query(two.url, 'SHOW max_prepared_transactions')).toEqual([{ max_prepared_transactions: '20' }]);
    expect(await query(two.url, 'SHOW listen_addresses')).toEqual([{ listen_addresses: '127.0.0.1' }]);
  });

  it('takes the binaries of HOLDFAST_TEST_PG_BIN or none', async () => {
    await expect(startPostgres({ binDir: '/nonexistent' })).rejects.toMatchObject({ code: 'HF_SERVER_MISSING' });
  });
});

describe('startRedis', () => {
  it('comes back empty on the same port after kill', async () => {
    const server = await startRedis({ args: ['--maxmemory', '64mb'] });
    open.push(server);
    const redis = new Redis(server.url, { lazyConnect: true, retryStrategy: () => 20, maxRetriesPerRequest: null });
    redis.on('error', () => {});
    await redis.connect();
    await redis.set('k', 'v');
    expect(await redis.config('GET', 'maxmemory')).toEqual(['maxmemory', String(64 * 1024 * 1024)]);
    await server.kill();
    await server.start();
    expect(await redis.get('k')).toBeNull();
    redis.disconnect();
  });
});

describe('a process that is killed', () => {
  it('leaves no server and no folder', async () => {
    const module = (name: string): string =>
      JSON.stringify(new URL(`../../src/servers/${name}.ts`, import.meta.url).href);
    const script = `
      const { startPostgres } = await import(${module('postgres')});
      const { startRedis } = await import(${module('redis')});
      const { Client } = await import(${JSON.stringify(import.meta.resolve('pg'))});
      const postgres = await startPostgres(); const redis = await startRedis();
      const client = new (Client ?? (await import(${JSON.stringify(import.meta.resolve('pg'))})).default.Client)({ connectionString: postgres.url });
      await client.connect();
      const { rows } = await client.query('SHOW data_directory');
      console.log(JSON.stringify({ postgres: postgres.url, redis: redis.url, folder: rows[0].data_directory }));
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const { postgres, redis, folder } = JSON.parse(line.toString()) as Record<'postgres' | 'redis' | 'folder', string>;
    expect(existsSync(folder)).toBe(true);
    child.kill('SIGKILL');
    await expect.poll(() => existsSync(folder), { timeout: 120_000 }).toBe(false);
    await expect(query(postgres, 'SELECT 1')).rejects.toThrow(/ECONNREFUSED/);
    const client = new Redis(redis, { lazyConnect: true, retryStrategy: () => null });
    client.on('error', () => {});
    await expect(client.connect()).rejects.toThrow();
    client.disconnect();
  });
});

describe('the shared servers', () => {
  it('give each caller a database of its own', async () => {
    const [bare, migrated] = await Promise.all([createTestDatabase(), createTestDatabase({ migrate: true })]);
    expect((await bare.pool.query(`SELECT to_regclass('holdfast.outbox') AS t`)).rows).toEqual([{ t: null }]);
    expect((await migrated.pool.query(`SELECT to_regclass('holdfast.outbox') AS t`)).rows).toEqual([
      { t: 'holdfast.outbox' },
    ]);
    expect(testPostgresVersion().major).toBeGreaterThanOrEqual(14);
    await Promise.all([bare.drop(), migrated.drop()]);
  });

  it('include a Redis that answers', async () => {
    const redis = new Redis(sharedRedisUrl());
    expect(await redis.ping()).toBe('PONG');
    redis.disconnect();
  });
});
