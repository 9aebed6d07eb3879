/**
 * How it is said where Redis is, and which slot a key is in. No server is needed.
 */
import { Cluster, Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { hasHashTag, masterOf, readSlots, slotOf } from '../../../src/transport/bullmq/cluster-slots.ts';
import { whereQueuesMove } from '../../../src/transport/bullmq/cluster-receiving.ts';
import { ClusterTopology } from '../../../src/transport/bullmq/cluster-topology.ts';
import { TAGGED_NAMES } from '../../../src/transport/bullmq/jobs.ts';
import {
  type ClusterPlace,
  type RedisConnection,
  resolveRedisPlace,
} from '../../../src/transport/redis/redis-place.ts';
import { readRedisUrl, redisUrlWithoutSecrets } from '../../../src/transport/redis/redis-url.ts';
import { createBullmqTransport } from '../../../src/transport/bullmq/redis-transport.ts';

const place = (connection: RedisConnection) => resolveRedisPlace(connection, 'test');
const A = { host: 'a', port: 7000 };
const B = { host: 'b', port: 6379 };

describe('a URL of Redis', () => {
  it.each<[string, object]>([
    ['redis://me:s%40cret@one:7000/2', { kind: 'single', hosts: [{ host: 'one', port: 7000 }], db: 2, tls: false }],
    ['rediss://one', { kind: 'single', hosts: [{ host: 'one', port: 6379 }], db: 0, tls: true }],
    ['redis://', { kind: 'single', hosts: [{ host: 'localhost', port: 6379 }] }],
    ['redis://one?family=6', { kind: 'single', hosts: [{ host: 'one', port: 6379 }] }],
    ['redis+cluster://a:7000,b', { kind: 'cluster', hosts: [A, B], username: undefined, password: undefined }],
    ['rediss+cluster://me:a%2Fb@a:7000,b/', { kind: 'cluster', tls: true, username: 'me', password: 'a/b' }],
    [
      'redis+cluster://:only@[::1]:7000',
      { hosts: [{ host: '::1', port: 7000 }], username: undefined, password: 'only' },
    ],
    [
      'redis+sentinel://a:7000,b/main/3',
      { kind: 'sentinel', hosts: [A, { host: 'b', port: 26_379 }], name: 'main', db: 3 },
    ],
    ['redis+sentinel://:pw@a/main?sentinelPassword=x%26', { password: 'pw', sentinelPassword: 'x&', db: 0 }],
  ])('%s', (url, expected) => {
    expect(readRedisUrl(url)).toMatchObject(expected);
  });

  it.each([
    ['redis://a:7000,b:7001', /several servers/],
    ['redis+cluster://a:7000/3', /ends with its nodes/],
    ['redis+cluster://a:7000?x=1', /ends with its nodes/],
    ['redis+cluster://', /cannot be read/],
    ['redis+cluster://a:99999', /cannot be read/],
    ['redis+cluster://a,,b', /cannot be read/],
    ['redis+cluster://me:%zz@a', /cannot be read/],
    ['redis+sentinel://a:26379', /which primary/],
    ['redis+sentinel://a/main/0/more', /which primary/],
    ['redis+sentinel://a/main?passwd=secret', /which primary/],
    ['redis+ring://secret@a', /cannot be read/],
  ])('%s is refused, and not shown', (url, what) => {
    expect(readRedisUrl(url)).toMatchObject({ kind: 'wrong', what: expect.stringMatching(what) as string });
    expect(() => place(url)).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
    expect(() => place(url)).not.toThrow(/secret/);
  });

  it.each([
    ['redis+cluster://me:secret@a:7000,b', 'a:7000,b:6379'],
    ['redis+sentinel://:secret@a/main?sentinelPassword=secret', 'a:26379 (main)'],
    ['redis://me:secret@one', 'one:6379'],
    ['secret', 'the configured address'],
  ])('%s is shown without what is secret', (url, shown) => {
    expect(redisUrlWithoutSecrets(url)).toBe(shown);
  });
});

describe('what connection may be', () => {
  const nodes = [A, B];
  const options = { password: 'secret' };
  it.each<[string, RedisConnection, object]>([
    ['the URL of a cluster', 'redis+cluster://:secret@a:7000,b', { kind: 'cluster', nodes, options, tls: false }],
    ['with TLS', 'rediss+cluster://a:7000', { kind: 'cluster', options: { tls: {} }, tls: true }],
    ['a cluster', { cluster: ['a:7000', 'b'], options }, { kind: 'cluster', nodes, options }],
    ['nodes by host and port', { cluster: [A, { host: 'b' }] }, { kind: 'cluster', nodes, options: {} }],
    [
      'Sentinel by URL',
      'rediss+sentinel://:secret@a:7000/main/1?sentinelUsername=w',
      {
        kind: 'single',
        sentinel: true,
        address: 'sentinel main',
        options: { sentinels: [A], name: 'main', db: 1, password: 'secret', sentinelUsername: 'w', sentinelTLS: {} },
      },
    ],
    ['one server', 'redis://one/3', { kind: 'single', sentinel: false, address: 'one:6379/3' }],
  ])('%s', (_, connection, expected) => {
    expect(place(connection)).toMatchObject(expected);
  });

  it('a client of ioredis is taken as a description', () => {
    const cluster = new Cluster([A, 'redis://b', 7001], {
      lazyConnect: true,
      redisOptions: options,
      natMap: { 'x:1': A },
    });
    expect(place(cluster)).toMatchObject({
      kind: 'cluster',
      nodes: [A, B, { host: '127.0.0.1', port: 7001 }],
      options,
      natMap: { 'x:1': A },
    });
    const redis = new Redis({ ...A, ...options, lazyConnect: true });
    expect(place(redis)).toMatchObject({ kind: 'single', address: 'a:7000/0', options: { ...A, ...options } });
    expect([cluster.status, redis.status]).toEqual(['wait', 'wait']);
  });

  it.each<[string, unknown]>([
    ['no node', { cluster: [] }],
    ['a node without a host', { cluster: [{ port: 1 }] }],
    ['a node that is a URL', { cluster: ['redis://me:secret@a'] }],
    ['a port that is none', { cluster: [{ host: 'a', port: 0 }] }],
    ['a database', { cluster: ['a'], options: { db: 3 } }],
    ['a key prefix', { cluster: ['a'], options: { keyPrefix: 'x' } }],
    ['a key prefix of a Cluster', new Cluster([A], { lazyConnect: true, keyPrefix: 'x' })],
    ['records of SRV', new Cluster([A], { lazyConnect: true, useSRVRecords: true })],
    ['an unknown option', { cluster: ['a'], redisOptions: {} }],
  ])('%s is refused', (_, connection) => {
    expect(() => place(connection as RedisConnection)).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/HF_CONFIG|HF_OPTION_UNKNOWN/) as string }),
    );
  });

  it.each([-1, 0.5, 11, Number.NaN])('%s replicas are refused', (replicas) => {
    expect(() => createBullmqTransport({ connection: 'redis://a', replicas })).toThrow(/replicas is/);
  });

  it('is shown in the address without its nodes, which processes may name differently', () => {
    const one = createBullmqTransport({ connection: { cluster: ['a', 'b'], options } });
    const two = createBullmqTransport({ connection: { cluster: ['b', 'c'], options } });
    expect([one.address, two.address]).toEqual(Array(2).fill('redis cluster prefix holdfast'));
  });
});

describe('slots', () => {
  // By CLUSTER KEYSLOT of Redis 7.
  it.each([
    ['123456789', 12_739],
    ['foo', 12_182],
    ['{user1000}.following', 3443],
    ['foo{}{bar}', 8363],
    ['foo{{bar}}zap', 4015],
    ['foo{bar}{zap}', 5061],
    ['grüße', 3194],
  ])('%s is in %i', (key, slot) => {
    expect(slotOf(key)).toBe(slot);
  });

  it('all keys of a queue share one, and queues do not', () => {
    const keys = (partition: number) =>
      ['wait', 'meta', '', 'id.1'].map((type) => `holdfast:${TAGGED_NAMES.queueName('orders', partition)}:${type}`);
    const slots = Array.from({ length: 8 }, (_, partition) => new Set(keys(partition).map(slotOf)));
    expect(slots.map(({ size }) => size)).toEqual(Array(8).fill(1));
    expect(new Set(slots.flatMap((set) => [...set])).size).toBe(8);
  });

  it('a tag is what stands between the first brace and the next', () => {
    expect(['{a}', 'x{a}y', '{}', '{', 'a', '}{'].map(hasHashTag)).toEqual([true, true, false, false, false, false]);
  });

  it('names of queues with braces are refused, and others are found again', () => {
    for (const name of ['a{b', '}', 'a:b', ''])
      expect(() => TAGGED_NAMES.assertDestination(name)).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
    const found = ['{orders}', '{orders#1}', 'orders', '{a}b'].map((queue) => TAGGED_NAMES.destinationOf(queue));
    expect(found).toEqual(['orders', null, null, null]);
  });

  it('that have moved are learned from the node that says so', async () => {
    const topology = new ClusterTopology(resolveRedisPlace({ cluster: ['a:7000'] }, 'test') as ClusterPlace, 10);
    const refused = (message: string) => whereQueuesMove(new Error(message), topology);
    expect(refused('MOVED 7 b:6379')).toBe(2);
    expect(await topology.masterOf(7)).toEqual(B);
    expect(refused('MOVED 7 ::1:7000')).toBe(2);
    expect(await topology.masterOf(7)).toEqual({ host: '::1', port: 7000 });
    for (const message of ['CLUSTERDOWN Hash slot not served', 'MASTERDOWN Link is down', 'READONLY You cannot'])
      expect(refused(message)).toBe(1);
    for (const message of [
      'TRYAGAIN Multiple keys',
      'ASK 7 b:6379',
      'OOM command not allowed',
      'NOPERM MOVED 7 b:6379',
    ])
      expect(refused(message)).toBe(false);
    // It does not say its name: whoever was named is asked, and is not there.
    expect(refused('MOVED 7 :6379')).toBe(2);
    await expect(topology.masterOf(7)).rejects.toThrow(/can be asked for its slots/);
  });

  it('are read from the answer of a node, which leaves out what it does not know of itself', () => {
    const answer = [
      [0, 99, ['10.0.0.1', 6379, 'id'], ['10.0.0.2', 6379, 'id']],
      [100, 199, ['', 6380, 'id', []]],
      [200, 299, [null, 6381, 'id']],
      [300, 399, ['?', 6382, 'id']],
    ];
    const ranges = readSlots(answer, A);
    expect([0, 99, 100, 250, 350].map((slot) => masterOf(ranges, slot))).toEqual([
      { host: '10.0.0.1', port: 6379 },
      { host: '10.0.0.1', port: 6379 },
      { host: 'a', port: 6380 },
      { host: 'a', port: 6381 },
      { host: 'a', port: 6382 },
    ]);
    expect(masterOf(ranges, 400)).toBeUndefined();
    for (const strange of [null, 'x', [[]], [[0, 1]], [['a', 1, ['h', 1]]]])
      expect(() => readSlots(strange, A)).toThrow(/CLUSTER SLOTS/);
  });
});
