/**
 * A Redis that is away, empty, full, locked, or not what it should be: what publishers and receivers say of it, and that they go on by
 * themselves.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRedisStreamsTransport } from '../../../src/transport/redis-streams/redis-streams-transport.ts';
import {
  destinationName,
  NEVER,
  outbound,
  publishAtLast,
  recorder,
  rejection,
} from '../../../src/testing/transport/kit.ts';
import { eventually } from '../../support/eventually.ts';
import { type RedisServer, startRedis } from '../../support/servers.ts';
import { receiveFrom } from '../receive-from.ts';
import { adminOf, makeStreams, streamOf } from './streams-kit.ts';

const unavailable = (why: RegExp): object => ({
  code: 'HF_TRANSPORT_UNAVAILABLE',
  message: expect.stringMatching(why) as string,
});

describe('Redis that stops and starts', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.dispose());
  const make = () => makeStreams({ connection: server.url, publishTimeout: 2000 });

  it.each([true, false])(
    'loses what it did not acknowledge, and is used again when it is back empty: ordered %s',
    async (ordered) => {
      const transport = make();
      const destination = destinationName();
      const publisher = transport.publisher();
      const got = recorder();
      await receiveFrom(transport, destination, got.handle, { concurrency: 5, ordered });
      await publishAtLast(publisher, [outbound(destination, 0)]);
      await got.until((seen) => seen.length === 1);
      const failed = (async () => {
        for (;;) {
          const batch = Array.from({ length: 1000 }, (_, n) => outbound(`${destination}-unread`, n));
          try {
            await publisher.publish(batch, { signal: NEVER });
          } catch (error) {
            return error;
          }
        }
      })();
      await server.kill();
      expect(await failed).toMatchObject({ code: 'HF_TRANSPORT_UNAVAILABLE' });
      expect(await rejection(publisher.check({ signal: NEVER }))).toMatchObject(unavailable(/ECONNREFUSED|closed/));
      await server.start();
      await publishAtLast(publisher, [outbound(destination, 1, { key: 'k' }), outbound(destination, 2, { key: 'k' })]);
      await got.until((seen) => seen.some(({ n }) => n === 2));
      expect([...new Set(got.seen.map(({ n }) => n))]).toEqual([0, 1, 2]);
    },
  );

  it('is waited for by a receiver that starts while it is away, and by one that stops', async () => {
    await server.stop();
    const transport = make();
    const destination = destinationName();
    const publisher = transport.publisher();
    const got = recorder();
    const receiver = await receiveFrom(transport, destination, got.handle, { ordered: true });
    expect(await rejection(publisher.publish([outbound(destination, 1)], { signal: NEVER }))).toMatchObject(
      unavailable(/ECONNREFUSED|closed/),
    );
    expect(await rejection(receiver.look!({ signal: NEVER }))).toMatchObject(unavailable(/ECONNREFUSED|closed/));
    await server.start();
    await publishAtLast(publisher, [outbound(destination, 2)]);
    await got.until((seen) => seen.length === 1);
    expect(got.seen[0]!.n).toBe(2);
    await server.kill();
    await receiver.stop();
    await server.start();
  });

  it('has nothing skipped when somebody empties it, deletes the group, or deletes entries', async () => {
    const transport = make();
    const destination = destinationName();
    const publisher = transport.publisher();
    const admin = adminOf(server.url);
    const hold: (() => void)[] = [];
    const got = recorder(async ({ n }) => {
      if (n === 1) await new Promise<void>((resolve) => void hold.push(resolve));
      return { kind: 'done' };
    });
    await receiveFrom(transport, destination, got.handle, { concurrency: 4 });
    await publisher.publish([outbound(destination, 1)], { signal: NEVER });
    await got.until((seen) => seen.length === 1);
    await admin.flushall();
    await publisher.publish([outbound(destination, 2)], { signal: NEVER });
    await got.until((seen) => seen.some(({ n }) => n === 2));
    await admin.xgroup('DESTROY', streamOf(destination), 'holdfast');
    await publisher.publish([outbound(destination, 3)], { signal: NEVER });
    await got.until((seen) => seen.some(({ n }) => n === 3));
    hold.forEach((release) => release());
    await eventually('all to be done', async () => (await admin.xlen(streamOf(destination))) === 0);
  });
});

it('a full Redis is an outage for publishers, while consumers take out what is in it, also what comes later', async () => {
  const full = await startRedis({ args: ['--maxmemory', '4mb'] });
  try {
    const transport = makeStreams({ connection: full.url });
    const publisher = transport.publisher();
    let published = 0;
    const failure = await (async () => {
      for (;;) {
        try {
          const batch = Array.from({ length: 500 }, (_, n) => outbound('full', n, { key: `k${n % 50}` }));
          await publisher.publish(batch, { signal: NEVER });
          published += batch.length;
        } catch (error) {
          return error;
        }
      }
    })();
    expect(failure).toMatchObject({ ...unavailable(/OOM/), advice: expect.stringContaining('maxmemory') as string });
    let turn = 0;
    const done = new Set<unknown>();
    const handle = async ({ wire }: { readonly wire: unknown }) => {
      turn += 1;
      if (turn % 20 === 0) return { kind: 'later', delayMs: 30 } as const;
      done.add((JSON.parse(String(wire)) as { id: string }).id);
      return { kind: 'done' } as const;
    };
    await receiveFrom(transport, 'full', handle, { concurrency: 50 });
    await eventually('all to be handled', async () => done.size === published);
    expect(await publisher.publish([outbound('full', 1)], { signal: NEVER })).toEqual([{ kind: 'published' }]);
  } finally {
    await full.dispose();
  }
});

it('says when Redis may evict messages', async () => {
  const evicting = await startRedis({ args: ['--maxmemory-policy', 'allkeys-lru'] });
  try {
    let tell: (error: Error) => void = () => {};
    const warning = new Promise<Error>((resolve) => void (tell = resolve));
    const transport = makeStreams({ connection: evicting.url, onError: (error) => tell(error) });
    await transport.publisher().check({ signal: NEVER });
    expect(await warning).toMatchObject({
      code: 'HF_CONFIG',
      message: expect.stringContaining('allkeys-lru') as string,
    });
  } finally {
    await evicting.dispose();
  }
});

describe('Redis that refuses', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await startRedis({ args: ['--requirepass', 'secret'] });
  });
  afterAll(() => server.dispose());
  const at = (account: string, scheme = 'redis'): string => `${scheme}://${account}127.0.0.1:${server.port}`;

  it.each([
    ['no password', '', 'redis', /NOAUTH/, /password/],
    ['a wrong password', ':wrong@', 'redis', /WRONGPASS|NOAUTH/, /password/],
    ['no right to the keys', 'narrow:pass@', 'redis', /NOPERM/, /docs\/transports\.md/],
    ['TLS to a port without it', ':secret@', 'rediss', /does this port speak it/, /./],
  ])(
    'is named with its reason and what to do, by publisher, receiver and look: %s',
    async (_, account, scheme, why, advice) => {
      await adminOf(at(':secret@')).call('ACL', 'SETUSER', 'narrow', 'on', '>pass', '+@all', '~other:*');
      const errors: Error[] = [];
      const connection = at(account, scheme);
      const transport = makeStreams({ connection, publishTimeout: 1000, onError: (error) => void errors.push(error) });
      const expected = { ...unavailable(why), advice: expect.stringMatching(advice) as string };
      const failure = await rejection(transport.publisher().publish([outbound('locked', 1)], { signal: NEVER }));
      expect(failure).toMatchObject(expected);
      const receiver = await receiveFrom(transport, 'locked', recorder().handle);
      expect(await rejection(receiver.look!({ signal: AbortSignal.timeout(30_000) }))).toMatchObject(expected);
      await eventually('it to be told', async () => errors.some(({ message }) => why.test(message)));
      expect(JSON.stringify([errors.map(String), String(failure)])).not.toMatch(/secret|pass@|wrong@/);
    },
  );

  it('has something else where a stream should be', async () => {
    const admin = adminOf(at(':secret@'));
    await admin.set(streamOf('taken'), 'by somebody');
    const errors: Error[] = [];
    const transport = makeStreams({ connection: at(':secret@'), onError: (error) => void errors.push(error) });
    const expected = { ...unavailable(/WRONGTYPE/), advice: expect.stringContaining('prefix') as string };
    expect(await rejection(transport.publisher().publish([outbound('taken', 1)], { signal: NEVER }))).toMatchObject(
      expected,
    );
    await receiveFrom(transport, 'taken', recorder().handle);
    await eventually('it to be told', async () => errors.some(({ message }) => /WRONGTYPE/.test(message)));
    // Once it is out of the way all goes on.
    await admin.del(streamOf('taken'));
    expect(await transport.publisher().publish([outbound('taken', 1)], { signal: NEVER })).toHaveLength(1);
  });

  it('has fewer replicas than are asked for', async () => {
    const transport = makeStreams({ connection: at(':secret@'), replicas: 1, publishTimeout: 200 });
    const failure = await rejection(transport.publisher().publish([outbound('alone', 1)], { signal: NEVER }));
    expect(failure).toMatchObject(unavailable(/only 0 of 1 replicas/));
  });

  it('is no cluster', async () => {
    const transport = makeStreams({
      connection: { cluster: [`127.0.0.1:${server.port}`], options: { password: 'secret' } },
      publishTimeout: 1000,
    });
    expect(await rejection(transport.publisher().check({ signal: NEVER }))).toMatchObject({
      ...unavailable(/cluster support disabled/i),
      advice: expect.stringContaining('no cluster') as string,
    });
  });
});

it('refuses options that cannot work', () => {
  const make = (options: object) => () => createRedisStreamsTransport({ connection: 'redis://localhost', ...options });
  expect(make({ prefx: 'a' })).toThrow(/Did you mean "prefix"/);
  const wrong: object[] = [
    { prefix: '' },
    { prefix: 'a{b}' },
    { queues: { 'a#b': {} } },
    { replicas: -1 },
    { maxMessageBytes: 0 },
    { lockDuration: 0 },
    { connection: { cluster: [] } },
    { connection: { host: 'localhost', keyPrefix: 'a' } },
    { connection: undefined },
    ...[0, 1.5, 5000].map((partitions) => ({ queues: { a: { partitions } } })),
  ];
  for (const options of wrong) expect(make(options)).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
  expect(make({ queues: { a: { partition: 1 } } })).toThrow(expect.objectContaining({ code: 'HF_OPTION_UNKNOWN' }));
  const receive = (): unknown => make({})().receiver('a{b', recorder().handle, { concurrency: 1, ordered: false });
  expect(receive).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
});

it('names where it is without secrets', () => {
  const address = (connection: never): string | undefined => createRedisStreamsTransport({ connection }).address;
  expect(address('rediss://user:secret@host:7000/3' as never)).toBe('redis host:7000/3 prefix holdfast-streams');
  expect(address({ host: 'h', password: 'secret' } as never)).toBe('redis h:6379/0 prefix holdfast-streams');
  expect(address({ sentinels: [{ host: 'a' }], name: 'main' } as never)).toBe(
    'redis sentinel main prefix holdfast-streams',
  );
});
