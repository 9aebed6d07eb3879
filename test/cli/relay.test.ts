/** `holdfast relay` as a process: how it starts, what its pages say, how it ends. Redis and PostgreSQL are real. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { silentServer } from '../../src/testing/transport/kit.ts';
import { undocumented } from '../support/documented-metrics.ts';
import { eventually } from '../support/eventually.ts';
import {
  createTestDatabase,
  sharedRedisUrl,
  startPostgres,
  uniquePrefix,
  createDatabaseOn,
  type TestDatabase,
} from '../support/servers.ts';
import { daemon, holdfast, type Daemon } from './process.ts';

let test: TestDatabase;
let database: Database;
let env: Record<string, string>;
let queue: string;
const running: Daemon[] = [];

beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  database = openDatabase({ url: test.url });
});
beforeEach(async () => {
  queue = uniquePrefix('cli');
  env = { DATABASE_URL: test.url, REDIS_URL: sharedRedisUrl() };
  await database.query(
    'TRUNCATE holdfast.outbox, holdfast.subscription, holdfast.parked_message, holdfast.replay, holdfast.audit RESTART IDENTITY',
  );
});
afterEach(async () => {
  for (const each of running.splice(0)) {
    each.child.kill('SIGKILL');
    await each.exit;
  }
});
afterAll(async () => {
  await database.close();
  await test.drop();
});

async function start(args: readonly string[], given: Record<string, string> = env): Promise<Daemon> {
  const started = await daemon(args, { env: given });
  running.push(started);
  return started;
}
const send = async (topic: string, key: string | null = null) =>
  (await database.query<{ id: string }>(`SELECT holdfast.send($1, '{"n": 1}', key => $2) AS id`, [topic, key])).rows[0]!
    .id;
const lease = async () =>
  (
    await database.query<{ lease_owner: string | null; published: string }>(
      'SELECT lease_owner, published FROM holdfast.subscription',
    )
  ).rows[0];
const page = async (each: Daemon, path: string) => {
  const response = await fetch(`${await each.url()}${path}`);
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
};

const ready = (each: Daemon) =>
  eventually('the relay to be ready', async () => (await page(each, '/readyz')).status === 200);
const publishedBy = (count: number) =>
  eventually(`${count} to be published`, async () => Number((await lease())?.published ?? 0) >= count);

async function inQueue(name: string): Promise<number> {
  const redis = new Redis(sharedRedisUrl());
  try {
    return (await redis.keys(`holdfast:*${name}*`)).length;
  } finally {
    redis.disconnect();
  }
}

describe('holdfast relay', () => {
  it('says at once that the broker is away, also when there is nothing to publish', async () => {
    const relay = await start(['--route', `order.**=${queue}`], { ...env, REDIS_URL: 'redis://127.0.0.1:1' });
    expect(await relay.line('the broker cannot be reached yet')).toMatchObject({ transport: 'bullmq-redis' });
  });

  it('publishes to Redis, tells how it is, and gives the lease back at SIGTERM', async () => {
    await send('order.placed', 'o-1');
    const relay = await start(['--route', `order.**=${queue}`, '--lease', '5s', '--idle-poll', '100ms']);
    await ready(relay);
    await publishedBy(1);
    expect(await inQueue(queue)).toBeGreaterThan(0);
    expect(await page(relay, '/livez')).toMatchObject({
      status: 200,
      body: { status: 'alive', runners: [{ subscription: 'main', role: 'active' }] },
    });
    expect(await page(relay, '/readyz')).toMatchObject({ status: 200, body: { subscriptions: [{ broker: 'ok' }] } });
    const metrics = await (await fetch(`${await relay.url()}/metrics`)).text();
    expect(metrics).toMatch(/^holdfast_relay_published_total\{subscription="main",shard="0"\} 1$/m);
    expect(metrics).toMatch(/^holdfast_relay_lag_messages\{subscription="main",shard="0"\} 0$/m);
    expect(metrics).toMatch(/^holdfast_relay_active\{subscription="main",shard="0"\} 1$/m);
    expect(metrics).toMatch(/^holdfast_database_up 1$/m);
    expect(metrics).toMatch(/^holdfast_relay_delay_seconds_count\{subscription="main",shard="0"\} 1$/m);
    expect(metrics).toMatch(/^process_cpu_seconds_total /m);
    expect(undocumented(metrics)).toEqual([]);
    expect((await lease())?.lease_owner).not.toBeNull();

    relay.child.kill('SIGTERM');
    expect(await relay.exit).toBe(0);
    expect((await lease())?.lease_owner).toBeNull();
    expect(relay.lines.at(-1)?.msg).toMatch(/^stopped: everything in flight is done/);
  });

  it('works off a replay that an operator asked for', async () => {
    await send('order.placed', 'o-1');
    const relay = await start(['--route', `order.**=${queue}`, '--idle-poll', '50ms']);
    await publishedBy(1);
    const asked = await holdfast(['outbox', 'replay', '--since', '1h', '--json'], { env });
    const { id } = JSON.parse(asked.stdout) as { id: string };
    await eventually('the replay to finish', async () => {
      const found = await database.query(
        'SELECT published FROM holdfast.replay WHERE id = $1 AND finished_at IS NOT NULL',
        [id],
      );
      return found.rowCount === 1;
    });
    expect(await relay.line('replay finished')).toMatchObject({ replayId: id });
    expect((await database.query('SELECT published FROM holdfast.replay')).rows).toEqual([{ published: '1' }]);
  });

  it('stands by while another holds the subscription, alive and ready, and takes over when that one stops', async () => {
    const first = await start(['--route', `**=${queue}`]);
    await ready(first);
    const second = await start(['--route', `**=${queue}`]);
    await second.line('standing by');
    await ready(second);
    expect(await page(second, '/livez')).toMatchObject({ status: 200, body: { runners: [{ role: 'standby' }] } });
    first.child.kill('SIGTERM');
    expect(await first.exit).toBe(0);
    await second.line('subscription taken');
  });

  it('is alive and ready while the broker is away, and stops at once all the same', async () => {
    await send('order.placed');
    const relay = await start(['--route', `**=${queue}`, '--redis-url', 'redis://127.0.0.1:1']);
    await relay.line('cannot publish');
    expect(await page(relay, '/livez')).toMatchObject({ status: 200 });
    expect((await page(relay, '/readyz')).body).toMatchObject({
      status: 'ready',
      subscriptions: [{ broker: expect.stringMatching(/ECONNREFUSED/) }],
    });
    relay.child.kill('SIGTERM');
    expect(await relay.exit).toBe(0);
    expect(await lease()).toMatchObject({ lease_owner: null, published: '0' });
  });

  it('carries messages in the database alone', async () => {
    await send('order.placed', 'o-1');
    await start(['--route', `order.**=${queue}`, '--transport', 'postgres', '--subscription', 'local'], {
      DATABASE_URL: test.url,
    });
    await publishedBy(1);
    expect((await database.query('SELECT count(*)::int AS n FROM bullmq.job')).rows).toEqual([{ n: 1 }]);
    expect((await database.query('SELECT name FROM holdfast.subscription')).rows).toEqual([{ name: 'local' }]);
  });

  it('ends at the deadline what does not end by itself, with 4', async () => {
    // A Redis that takes connections and never answers.
    const deaf = await silentServer();
    try {
      await send('order.placed');
      const relay = await start([
        '--route',
        `**=${queue}`,
        '--redis-url',
        `redis://127.0.0.1:${deaf.port}`,
        '--publish-timeout',
        '1h',
        '--shutdown-deadline',
        '300ms',
        '--lease',
        '1h',
      ]);
      await relay.line('subscription taken');
      await deaf.connected;
      relay.child.kill('SIGTERM');
      expect(await relay.exit).toBe(4);
      await relay.line('the deadline has passed').catch(() => {});
      expect(relay.lines.map(({ msg }) => msg)).toEqual(
        expect.arrayContaining([expect.stringMatching(/^stopped by force/)]),
      );
    } finally {
      await deaf.close();
    }
  });

  it('ends at once at the second signal, with 4', async () => {
    const deaf = await silentServer();
    try {
      await send('order.placed');
      const relay = await start([
        '--route',
        `**=${queue}`,
        '--redis-url',
        `redis://127.0.0.1:${deaf.port}`,
        '--publish-timeout',
        '1h',
        '--lease',
        '1h',
      ]);
      // The first look at the broker connects as well; what hangs until it is forced is the publishing.
      await relay.line('subscription taken');
      await deaf.connections(2);
      relay.child.kill('SIGTERM');
      await relay.line('stopping');
      relay.child.kill('SIGINT');
      expect(await relay.exit).toBe(4);
      expect(relay.lines.at(-1)?.msg).toMatch(/^second signal/);
    } finally {
      await deaf.close();
    }
  });

  it('waits for a database that takes no writes yet', async () => {
    const own = await createTestDatabase({ migrate: true });
    const name = new URL(own.url).pathname.slice(1);
    try {
      await database.query(`ALTER DATABASE ${name} SET default_transaction_read_only = on`);
      const relay = await start(['--route', `**=${queue}`], { ...env, DATABASE_URL: own.url });
      await relay.line('the database takes no writes');
      await database.query(`ALTER DATABASE ${name} RESET default_transaction_read_only`);
      await database.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [name]);
      await relay.line('subscription taken');
      relay.child.kill('SIGTERM');
      expect(await relay.exit).toBe(0);
    } finally {
      await own.drop();
    }
  });

  it('waits for a database that is not there yet; can be stopped meanwhile', async () => {
    const server = await startPostgres();
    const own = await createDatabaseOn(server.adminUrl, { migrate: true });
    try {
      await server.stop('immediate');
      const given = { DATABASE_URL: own.url, REDIS_URL: sharedRedisUrl() };
      const relay = await start(['--route', `**=${queue}`], given);
      const impatient = await start(['--route', `**=${queue}`], given);
      await relay.line('the database cannot be reached');
      expect(await page(relay, '/livez')).toMatchObject({ status: 200 });
      expect(await page(relay, '/readyz')).toMatchObject({
        status: 503,
        body: { reasons: ['starting', expect.stringMatching(/^database: /)] },
      });
      await impatient.line('the database cannot be reached');
      impatient.child.kill('SIGTERM');
      expect(await impatient.exit).toBe(0);
      await server.restart();
      await relay.line('subscription taken');
      await ready(relay);
      relay.child.kill('SIGTERM');
      expect(await relay.exit).toBe(0);
    } finally {
      await own.pool.end().catch(() => {});
      await server.stop('immediate');
    }
  });

  it('ends with 3 without tables, and makes them when told to', async () => {
    const fresh = await createTestDatabase();
    try {
      const args = ['--route', `**=${queue}`, '--database-url', fresh.url];
      const without = await start(args);
      expect(await without.exit).toBe(3);
      expect(without.stderr()).toBe('');
      const told = await start([...args, '--migrate']);
      await told.line('migration applied');
      await ready(told);
      told.child.kill('SIGTERM');
      expect(await told.exit).toBe(0);
    } finally {
      await fresh.drop();
    }
  });

  it.each<[string, readonly string[], Record<string, string>, RegExp]>([
    ['no route', [], {}, /There is no route/],
    ['a route that is none', ['--route', 'orders'], {}, /not a route/],
    ['an unknown flag', ['--rout', 'a=b'], {}, /unknown option '--rout'/],
    ['a bad pattern', ['--route', 'order.**x=b'], {}, /not a topic pattern/],
    ['a bad duration in the environment', ['--route', 'a=b'], { HOLDFAST_LEASE: 'soon' }, /HOLDFAST_LEASE is "soon"/],
    ['a lease that is too short', ['--route', 'a=b', '--lease', '10ms'], {}, /too short/],
    ['no broker', ['--route', 'a=b'], { REDIS_URL: '' }, /what carries the messages/],
  ])('ends with 2 for %s', async (_, args, extra, message) => {
    const { code, stdout, stderr } = await holdfast(['relay', ...args], { env: { ...env, ...extra } });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
  });

  it('ends with 2 when its port is taken or the shards do not fit', async () => {
    const first = await start(['--route', `**=${queue}`]);
    const port = new URL(await first.url()).port;
    await ready(first);
    const second = await holdfast(['relay', '--route', `**=${queue}`, '--http-port', port], { env });
    expect(second.code).toBe(2);
    expect(second.stderr).toMatch(/cannot listen on 127\.0\.0\.1:\d+: another process does[\s\S]*--no-http/);
    const sharded = await holdfast(['relay', '--route', `**=${queue}`, '--no-http', '--shards', '4'], { env });
    expect(sharded.code).toBe(2);
    expect(sharded.stderr).toMatch(/HF_SHARDS_MISMATCH/);
  });

  it('is as its configuration file says, and dies of what nobody foresaw', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-relay-'));
    try {
      // A transport of the user's own, in TypeScript, that publishes one batch and then breaks the process.
      await writeFile(
        join(folder, 'holdfast.config.ts'),
        `const transport = {
           kind: 'mine',
           publisher: () => ({
             async publish(batch: readonly { topic: string }[]) {
               if (batch.some(({ topic }) => topic === 'bad')) setTimeout(() => { throw new Error('boom'); });
               return batch.map(() => ({ kind: 'published' as const }));
             },
             check: async () => {},
             close: async () => {},
           }),
           receiver: () => { throw new Error('none'); },
           close: async () => {},
         };
         export default { database: { url: ${JSON.stringify(test.url)} }, transport, subscriptions: [{ name: 'mine', routes: [{ topics: '**', to: 'x' }] }] };`,
      );
      await send('good');
      const relay = await daemon(['--lease', '1h'], { cwd: folder });
      running.push(relay);
      await publishedBy(1);
      await send('bad');
      expect(await relay.exit).toBe(1);
      expect(relay.lines.at(-1)).toMatchObject({
        level: 'error',
        fatal: true,
        msg: expect.stringMatching(/^uncaught exception/),
      });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('opens no port with --no-http', async () => {
    const relay = await start(['--route', `**=${queue}`, '--no-http']);
    await relay.line('subscription taken');
    expect(relay.lines.some(({ msg }) => msg === 'listening')).toBe(false);
    await expect(reach(9464)).rejects.toThrow();
  });
});

function reach(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve();
    });
    socket.on('error', reject);
  });
}
