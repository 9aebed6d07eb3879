/** What is due next, and the limits in force, on a real database. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { z } from 'zod';
import { createConsumer } from '../../src/inbox/consumer.ts';
import { message } from '../../src/message/message-type.ts';
import { limitsInForce } from '../../src/operations/reads/limits-in-force.ts';
import { listDue } from '../../src/operations/reads/list-due.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { createWorker } from '../../src/saga/worker/worker.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';
import { planned } from './plans.ts';
import { emptySagas, seedRun, seedWorker } from './saga-lab.ts';

let test: TestDatabase;
let database: Database;
beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  database = openDatabase({ url: test.url });
});
beforeEach(async () => {
  await emptySagas(database);
  await database.query('TRUNCATE holdfast.scheduled_message');
});
afterAll(async () => {
  await database.close();
  await test.drop();
});

const Remind = message('order.remind', { schema: z.object({ n: z.number() }), key: ({ n }) => `o-${n}` });

it('what is due next comes first, of messages and of runs of all sagas together', async () => {
  const outbox = createOutbox();
  const ids = await database.transaction(async (tx) => {
    const sent: string[] = [];
    for (const [n, delay] of [
      [1, '3h'],
      [2, '1h'],
      [3, '2h'],
    ] as const)
      sent.push((await outbox.send(tx, Remind, { n }, { delay })).id);
    return sent;
  });
  const later = await seedRun(database, { status: 'waiting', wakeIn: 7_200, key: 'o-1' });
  const sooner = await seedRun(database, { saga: 'book-trip', version: 2, status: 'compensating', wakeIn: 60 });
  const worker = await seedWorker(database, 'w-1');
  // Not among them: due already, in a memory, without a time, ended.
  await seedRun(database, { status: 'pending', wakeIn: -5 });
  await seedRun(database, { status: 'waiting', worker });
  await seedRun(database, { status: 'waiting' });
  await seedRun(database, { status: 'completed' });
  const { messages, timers } = await listDue(database);
  expect(messages.map(({ id, key }) => [id, key])).toEqual([
    [ids[1], 'o-2'],
    [ids[2], 'o-3'],
    [ids[0], 'o-1'],
  ]);
  expect(messages[0]?.dueInMs).toBeGreaterThan(3_500_000);
  expect(messages[0]?.dueInMs).toBeLessThanOrEqual(3_600_000);
  expect(timers).toMatchObject([
    { run: sooner, saga: 'book-trip', version: 2, key: null, status: 'compensating' },
    { run: later, saga: 'place-order', version: 1, key: 'o-1', status: 'waiting' },
  ]);
  expect(Math.abs((timers[0]?.dueAt.getTime() ?? 0) - Date.now() - 60_000)).toBeLessThan(10_000);
  const one = await listDue(database, { limit: 1 });
  expect([one.messages.map(({ id }) => id), one.timers.map(({ run }) => run)]).toEqual([[ids[1]], [sooner]]);
  await expect(listDue(database, { limit: 0 })).rejects.toMatchObject({ code: 'HF_CONFIG' });
});

it('goes along the index of what can be claimed, however many wait', async () => {
  await database.query(
    `INSERT INTO holdfast.saga_run (id, saga, version, status, wake_at)
     SELECT gen_random_uuid(), 'saga-' || n % 5, 1, 'waiting', now() + n * interval '1 minute' FROM generate_series(1, 20000) n`,
  );
  await database.query('ANALYZE holdfast.saga_run');
  const { database: spy, plans } = planned(database);
  expect((await listDue(spy)).timers).toHaveLength(50);
  expect(plans.join('\n')).toMatch(/saga_run_due/);
  expect(plans.join('\n')).not.toMatch(/Seq Scan on saga_run/);
});

it('limits are those that workers, relays and consumers have said', async () => {
  await seedWorker(database, 'of-before');
  const transport = createMemoryTransport();
  const order = saga({ name: 'order', input: z.object({}), steps: {}, concurrency: 20, run: async () => null });
  const free = saga({ name: 'free', input: z.object({}), steps: {}, run: async () => null });
  const worker = createWorker({ database, sagas: [order, free], name: 'w-1', concurrency: 300, retention: '7d' });
  const relay = createRelay({
    database,
    subscriptions: [
      { name: 'main', transport, routes: [{ topics: 'order.*', to: 'billing', ordered: true }], retention: '3d' },
    ],
  });
  const consumer = createConsumer('billing', { database, transport, handlers: [], ignore: ['**'], retention: '20d' });
  const parts = [worker, relay, consumer];
  await Promise.all(parts.map((each) => each.start()));
  try {
    const { workers, subscriptions, consumers } = await limitsInForce(database);
    expect(workers).toMatchObject([
      { name: 'of-before', live: true, concurrency: null, sagaConcurrency: {}, maxEvents: null, retentionMs: null },
      {
        name: 'w-1',
        live: true,
        sagas: ['order@1', 'free@1'],
        concurrency: 300,
        waiting: 1_000,
        sagaConcurrency: { 'order@1': 20 },
        maxBytes: 1_048_576,
        maxEvents: 10_000,
        maxJournalBytes: 67_108_864,
        leaseMs: 15_000,
        standstillMs: 60_000,
        retentionMs: 604_800_000,
      },
    ]);
    expect(subscriptions).toEqual([
      {
        name: 'main',
        shards: 1,
        retentionMs: 259_200_000,
        onRefused: 'park-key',
        routes: [{ topics: ['order.*'], to: 'billing', ordered: true }],
      },
    ]);
    expect(consumers).toEqual([{ name: 'billing', queues: ['billing'], retentionMs: 1_728_000_000 }]);
  } finally {
    await Promise.all(parts.map((each) => each.stop()));
  }
});
