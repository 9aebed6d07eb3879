/** Where routes and consumers meet, and do not; and marks that are forgotten before the messages they are for. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createConsumer, type Consumer } from '../../src/inbox/consumer.ts';
import { checkRoutes, judgeRoutes } from '../../src/operations/doctor/doctor-routes.ts';
import { settleDoctorOptions } from '../../src/operations/doctor/finding.ts';
import { limitedDatabase } from '../../src/operations/doctor/limited-database.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let test: TestDatabase;
let database: Database;
beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  database = openDatabase({ pool: test.pool });
});
afterAll(() => test.drop());

const look = async () =>
  (await checkRoutes(limitedDatabase(database), settleDoctorOptions())).map(({ level, check }) => `${level} ${check}`);

it('as the last relay and the last process of each consumer have it', async () => {
  const transport = createMemoryTransport();
  const consumers: Consumer[] = [];
  const consume = async (name: string, destination: string, retention: '8d' | '30d'): Promise<void> => {
    const consumer = createConsumer(name, {
      database,
      transport,
      destination,
      retention,
      handlers: [],
      ignore: ['**'],
    });
    await consumer.start();
    consumers.push(consumer);
  };
  const relayed = async (to: readonly string[], retention: '7d' | '9d'): Promise<void> => {
    const routes = to.map((queue, n) => ({ topics: `topic.${n}`, to: queue }));
    const relay = createRelay({ database, subscriptions: [{ name: 'main', transport, routes, retention }] });
    await relay.prepare();
    await relay.stop();
  };
  await consume('shipping', 'parcels', '8d');
  // Nobody publishes here: whoever does is elsewhere.
  expect(await look()).toEqual([]);
  await relayed(['parcels'], '7d');
  expect(await look()).toEqual([]);
  await relayed(['parcel', 'letters'], '7d');
  expect((await look()).toSorted()).toEqual([
    'note flow.unfed-queue',
    'note flow.unread-route',
    'note flow.unread-route',
  ]);
  await consume('post', 'letters', '30d');
  await relayed(['parcels', 'letters'], '7d');
  expect(await look()).toEqual([]);
  await relayed(['parcels', 'letters'], '9d');
  expect(await look()).toEqual(['warn flow.inbox-horizon']);
  for (const consumer of consumers) await consumer.stop();
});

it('is judged by what is known', () => {
  const consumer = { consumer: 'c', queues: ['old', 'new'], retentionMs: 10 };
  const main = { name: 'main', retentionMs: 5, destinations: ['new'] };
  const checks = (...given: Parameters<typeof judgeRoutes>) => judgeRoutes(...given).map(({ check }) => check);
  expect(checks([main], [consumer])).toEqual([]);
  expect(checks([], [consumer])).toEqual([]);
  expect(checks([main], [])).toEqual([]);
  expect(checks([{ ...main, retentionMs: 10 }], [consumer])).toEqual(['flow.inbox-horizon']);
  expect(checks([{ ...main, retentionMs: null }], [consumer])).toEqual([]);
  // A relay of an older version has not said where it publishes to: then it may be anywhere.
  const silent = { ...main, name: 'silent', destinations: null };
  expect(checks([{ ...main, destinations: ['other'] }, silent], [consumer])).toEqual(['flow.unread-route']);
});
