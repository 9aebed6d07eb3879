import { Client } from 'pg';
import { afterAll, describe, expect, it } from 'vitest';
import {
  createBullmqPostgresTransport,
  migrateBullmqPostgres,
} from '../../../src/transport/bullmq/postgres-transport.ts';
import { describeTransport } from '../../../src/testing/transport/describe-transport.ts';
import {
  destinationName,
  NEVER,
  outbound,
  publishAtLast,
  recorder,
  rejection,
  silentServer,
} from '../../../src/testing/transport/kit.ts';
import { createDatabaseOn, createTestDatabase, startPostgres, type TestDatabase } from '../../support/servers.ts';

const SHORT = { lockDuration: 600, stalledInterval: 200, publishTimeout: 60_000 };

describeTransport('bullmq-postgres', async () => {
  const database = await createTestDatabase();
  const silent = await silentServer();
  return {
    make: (options = {}) => createBullmqPostgresTransport({ connection: database.url, ...SHORT, ...options }),
    unreachable: () => createBullmqPostgresTransport({ connection: { host: '127.0.0.1', port: 1 } }),
    hanging: () => createBullmqPostgresTransport({ connection: { host: '127.0.0.1', port: silent.port } }),
    refusing: () => ({
      transport: createBullmqPostgresTransport({ connection: database.url, ...SHORT }),
      // jsonb has no place for NUL: found by PostgreSQL itself, which refuses the whole chunk for it.
      spoil: (message) => ({ ...message, wire: '{"data":"\ud800"}' }),
    }),
    // jsonb holds no text that is no JSON, but any JSON: here one that is a text.
    async plant(destination, text, publisher) {
      const message = outbound(destination, 0);
      await publisher.publish([message], { signal: NEVER });
      const { rowCount } = await database.pool.query(
        'update bullmq.job set data = to_jsonb($1::text) where queue = $2 and id = $3',
        [text, destination, message.id],
      );
      expect(rowCount).toBe(1);
    },
    async dispose() {
      await silent.close();
      await database.drop();
    },
  };
});

describe('createBullmqPostgresTransport', () => {
  const databases: TestDatabase[] = [];
  afterAll(() => Promise.all(databases.map((database) => database.drop())));

  it('keeps its tables in the schema it was given, made by several processes at once', async () => {
    const database = await createTestDatabase();
    databases.push(database);
    await Promise.all([1, 2, 3].map(() => migrateBullmqPostgres(database.url, 'queues')));
    const transport = createBullmqPostgresTransport({
      connection: database.url,
      schema: 'queues',
      migrate: false,
      ...SHORT,
    });
    await transport.publisher().publish([outbound('here', 1)], { signal: NEVER });
    expect((await database.pool.query('select count(*)::int as n from queues.job')).rows).toEqual([{ n: 1 }]);
    expect(
      (await database.pool.query("select count(*)::int as n from pg_namespace where nspname = 'bullmq'")).rows,
    ).toEqual([{ n: 0 }]);
    await transport.close();
  });

  it('says that the tables are missing when it may not make them', async () => {
    const database = await createTestDatabase();
    databases.push(database);
    const transport = createBullmqPostgresTransport({ connection: database.url, migrate: false });
    expect(await rejection(transport.publisher().publish([outbound('here', 1)], { signal: NEVER }))).toMatchObject({
      code: 'HF_TRANSPORT_UNAVAILABLE',
      message: expect.stringContaining('bullmq'),
    });
    await migrateBullmqPostgres(database.url);
    await transport.publisher().publish([outbound('here', 1)], { signal: NEVER });
    await transport.close();
  });

  it('goes on by itself after PostgreSQL was stopped at once and started again', async () => {
    const server = await startPostgres();
    try {
      const database = await createDatabaseOn(server.adminUrl);
      const transport = createBullmqPostgresTransport({ connection: database.url, ...SHORT, publishTimeout: 2000 });
      const publisher = transport.publisher();
      const destination = destinationName();
      const got = recorder();
      const receiver = transport.receiver(destination, got.handle, { concurrency: 1, ordered: true });
      await receiver.start();
      // The first makes the tables, which may take longer than a message.
      await publishAtLast(publisher, [outbound(destination, 0, { key: 'k' })]);
      await got.until((seen) => seen.length >= 1);
      await server.stop('immediate');
      expect(
        await rejection(publisher.publish([outbound(destination, 1, { key: 'k' })], { signal: NEVER })),
      ).toMatchObject({ code: 'HF_TRANSPORT_UNAVAILABLE' });
      await server.start();
      await publishAtLast(publisher, [outbound(destination, 2, { key: 'k' })]);
      await got.until((seen) => seen.some(({ n }) => n === 2));
      await transport.close();
      await database.pool.end();
    } finally {
      await server.dispose();
    }
  });

  it('leaves nothing among the failed', async () => {
    const database = await createTestDatabase();
    databases.push(database);
    const transport = createBullmqPostgresTransport({ connection: database.url, ...SHORT });
    const destination = destinationName();
    const got = recorder((_, all) =>
      all.length === 1 ? Promise.reject(new Error('handler broke')) : { kind: 'done' },
    );
    const receiver = transport.receiver(destination, got.handle, { concurrency: 1, ordered: false });
    await receiver.start();
    await transport.publisher().publish([outbound(destination, 1)], { signal: NEVER });
    await got.until((seen) => seen.length === 2);
    await transport.close();
    const client = new Client({ connectionString: database.url });
    await client.connect();
    expect((await client.query('select * from bullmq.job')).rows).toEqual([]);
    await client.end();
  });

  it('refuses a schema that cannot be one', () => {
    expect(() => createBullmqPostgresTransport({ connection: 'postgres://localhost', schema: 'a"b' })).toThrow(
      expect.objectContaining({ code: 'HF_CONFIG' }),
    );
  });
});
