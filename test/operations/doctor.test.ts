/** The doctor: its judgements are pure, its questions are asked of real servers. */
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { doctor } from '../../src/operations/doctor/doctor.ts';
import { judgeFlow } from '../../src/operations/doctor/doctor-flow.ts';
import { judgeServer } from '../../src/operations/doctor/doctor-postgres.ts';
import { judgeRedis, parseInfo } from '../../src/operations/doctor/doctor-redis.ts';
import type { Finding } from '../../src/operations/doctor/finding.ts';
import type { RelayStatus, SubscriptionStatus } from '../../src/operations/relay/relay-status.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { migrate } from '../../src/postgres/migrator.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { recordingTransport } from '../support/recording-transport.ts';
import { createTestDatabase, sharedRedisUrl, type TestDatabase } from '../support/servers.ts';

const names = (findings: readonly Pick<Finding, 'level' | 'check'>[]) =>
  findings.map(({ level, check }) => `${level} ${check}`);

describe('doctor', () => {
  let test: TestDatabase;
  let database: Database;
  beforeAll(async () => {
    test = await createTestDatabase();
    database = openDatabase({ url: test.url });
  });
  afterAll(async () => {
    await database.close();
    await test.drop();
  });

  it('finds missing tables first, and then that no relay has run', async () => {
    expect(names((await doctor(database)).findings)).toContain('error schema.pending');
    await migrate(database);
    const { findings, checks } = await doctor(database);
    expect(names(findings)).not.toContain('error schema.pending');
    expect(names(findings)).toContain('warn flow.no-subscription');
    expect(checks).toEqual([
      'schema',
      'server',
      'settings',
      'sessions',
      'connections',
      'environment',
      'tables',
      'storage',
      'flow',
      'routes',
      'sagas',
      'jobs',
      'roles',
      'drift',
      'grants',
      'queues',
    ]);
  });

  it('finds a subscription without a lease', async () => {
    const relay = createRelay({
      database,
      subscriptions: [{ name: 'main', transport: recordingTransport(), routes: [{ topics: '**', to: 'all' }] }],
    });
    await relay.prepare();
    await relay.tick();
    expect(names((await doctor(database)).findings)).not.toContain('error flow.no-lease');
    await relay.stop();
    expect(names((await doctor(database)).findings)).toContain('error flow.no-lease');
  });

  it('finds sessions that hold the horizon', async () => {
    const holder = new Client({ connectionString: test.url, application_name: 'report' });
    await holder.connect();
    await holder.query('BEGIN; SELECT pg_current_xact_id()');
    const { findings } = await doctor(database, { longTransaction: 0 });
    expect(findings.find(({ check }) => check === 'postgres.long-transaction')?.what).toMatch(/report/);
    await holder.end();
    expect(names((await doctor(database)).findings)).not.toContain('warn postgres.long-transaction');
  });

  it('finds a sequence with a cache, an unlogged table', async () => {
    await database.query('ALTER SEQUENCE holdfast.outbox_seq_seq CACHE 10');
    await database.query('ALTER TABLE holdfast.key_head SET UNLOGGED');
    const { findings } = await doctor(database);
    expect(names(findings)).toEqual(expect.arrayContaining(['error tables.sequence-cache', 'error tables.unlogged']));
    for (const { check, repair } of findings) if (check.startsWith('tables.')) await database.query(repair ?? '');
    expect(names((await doctor(database)).findings).filter((name) => name.includes('tables.'))).toEqual([]);
  });

  it('asks Redis, and says when it does not answer', async () => {
    const { findings } = await doctor(database, { redisUrls: [sharedRedisUrl()] });
    expect(names(findings)).not.toContain('error redis.reach');
    const away = await doctor(database, { redisUrls: ['redis://:secret@127.0.0.1:1'] });
    const finding = away.findings.find(({ check }) => check === 'redis.reach');
    expect(finding?.what).toMatch(/127\.0\.0\.1:1 does not answer/);
    expect(JSON.stringify(away)).not.toContain('secret');
  });
});

describe('judgeServer', () => {
  const good = [
    ['server_version_num', '180001'],
    ['fsync', 'on'],
    ['full_page_writes', 'on'],
    ['synchronous_commit', 'on'],
    ['autovacuum', 'on'],
    ['max_connections', '100'],
  ] as const;
  const facts = { standby: false, connections: 10, synchronous: 0, seesAll: true };

  it('has nothing against a usual server', () => {
    expect(judgeServer(new Map(good), facts)).toEqual([]);
  });

  it.each([
    ['fsync', 'off', 'error postgres.fsync'],
    ['server_encoding', 'LATIN1', 'warn postgres.encoding'],
    ['server_version_num', '130012', 'error postgres.version'],
    ['synchronous_commit', 'off', 'warn postgres.synchronous-commit'],
    ['full_page_writes', 'off', 'warn postgres.full-page-writes'],
    ['autovacuum', 'off', 'warn postgres.autovacuum'],
    ['default_transaction_read_only', 'on', 'error postgres.read-only'],
    ['max_connections', '11', 'warn postgres.connections'],
  ])('finds %s = %s', (name, value, found) => {
    expect(names(judgeServer(new Map([...good, [name, value]]), facts))).toEqual([found]);
  });

  it.each([
    ['one is there', { synchronous: 1 }, 'on', []],
    ['none is', {}, 'on', ['error postgres.synchronous-standby']],
    ['none can be seen', { seesAll: false }, 'on', []],
    ['nobody waits for it', {}, 'local', []],
  ])('a synchronous standby: %s', (_, change, commit, found) => {
    const waiting = new Map([...good, ['synchronous_standby_names', 'one'], ['synchronous_commit', commit]]);
    expect(names(judgeServer(waiting, { ...facts, ...change }))).toEqual(found);
  });

  it('finds a standby', () => {
    expect(names(judgeServer(new Map(good), { ...facts, standby: true }))).toEqual(['error postgres.standby']);
  });
});

describe('judgeRedis', () => {
  const info = (text: string) => parseInfo(text.replaceAll(' ', '\r\n'));
  it.each([
    ['maxmemory_policy:noeviction aof_enabled:1', '3600 1', []],
    ['maxmemory_policy:allkeys-lru aof_enabled:1', '3600 1', ['error redis.eviction']],
    ['maxmemory_policy:noeviction aof_enabled:0', '3600 1', ['note redis.persistence']],
    ['maxmemory_policy:noeviction aof_enabled:0', '', ['warn redis.persistence']],
    ['maxmemory_policy:noeviction aof_enabled:0', null, ['note redis.persistence']],
    ['aof_enabled:1 used_memory:95 maxmemory:100', '', ['warn redis.memory']],
  ])('of %s, save %s', (text, save, found) => {
    expect(names(judgeRedis('here', info(text), save))).toEqual(found);
  });
});

describe('judgeFlow', () => {
  const subscription: SubscriptionStatus = {
    name: 'main',
    shard: 0,
    shards: 1,
    lease: { owner: 'a', epoch: 1, remainingMs: 9_000 },
    live: true,
    high: 10,
    behind: 0,
    oldestUnpublishedAgeMs: null,
    published: 10,
    ratePerSecond: 0,
    drainMs: 0,
    advancedAgoMs: 5,
    trouble: null,
    stalls: 0,
    lapses: 0,
    probing: false,
    retentionMs: 7 * 86_400_000,
    parked: { failed: 0, behind: 0, dead: 0 },
  };
  const status = (change: Partial<SubscriptionStatus>, rest: Partial<RelayStatus> = {}): RelayStatus => ({
    schema: 'holdfast',
    log: { newestSeq: 10, oldestSeq: 1, oldestAgeMs: 1000 },
    subscriptions: [{ ...subscription, ...change }],
    scheduled: { count: 0, nextInMs: null },
    consumers: [],
    replays: [],
    ...rest,
  });

  it.each<[string, Partial<SubscriptionStatus>, readonly string[]]>([
    ['a healthy one', {}, []],
    ['no relay', { live: false, lease: null }, ['error flow.no-lease']],
    [
      'a broker that is away',
      { trouble: 'ECONNREFUSED', oldestUnpublishedAgeMs: 999_000, behind: 5 },
      ['error flow.broker'],
    ],
    ['lag', { oldestUnpublishedAgeMs: 61_000, behind: 5 }, ['warn flow.lag']],
    ['deaths in a row', { stalls: 2 }, ['warn flow.stalls']],
    ['leases that lapse in a row', { lapses: 2 }, ['warn flow.lapses']],
    ['dead letters', { parked: { failed: 3, behind: 2, dead: 1 } }, ['warn flow.dead-letters']],
  ])('of %s', (_, change, found) => {
    expect(names(judgeFlow(status(change), []))).toEqual(found);
  });

  it('names the subscription that holds up retention', () => {
    const log = { newestSeq: 10, oldestSeq: 1, oldestAgeMs: 20 * 86_400_000 };
    const late = { ...subscription, name: 'old', live: false, lease: null, high: 0, behind: 10 };
    const findings = judgeFlow(status({}, { log, subscriptions: [subscription, late] }), []);
    expect(names(findings)).toEqual(['error flow.no-lease', 'warn flow.retention-held-up']);
    expect(findings[1]?.what).toMatch(/subscription old/);
  });

  it.each([
    [0, []],
    [3, []],
    [4, ['warn flow.replay']],
  ])('finds a replay that does not get on, begun %i times', (begunTimes, found) => {
    const replay = { id: 'r', subscription: 'main', fromSeq: 1, toSeq: 9, position: 5, published: 4, unrouted: 0 };
    const rest = { refused: 0, topic: null, key: null, requestedAgoMs: 1, begunTimes };
    expect(names(judgeFlow(status({}, { replays: [{ ...replay, ...rest }] }), []))).toEqual(found);
  });

  it('finds what nobody has a handler for', () => {
    const findings = judgeFlow(status({}), [], [{ consumer: 'billing', count: 1, topics: ['order.lost'] }]);
    expect(names(findings)).toEqual(['warn flow.no-handler']);
    expect(findings[0]?.what).toMatch(/billing has 1 parked message .*order\.lost/);
  });

  it('notes short inboxes', () => {
    expect(names(judgeFlow(status({}), ['billing']))).toEqual(['note flow.inbox-retention']);
  });
});
