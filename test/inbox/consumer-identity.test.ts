/**
 * What the name of a consumer stands for: two services under one name are told apart by their queues, a deployment that renames a queue is not.
 */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Consumer } from '../../src/inbox/consumer.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import { checkIdentity } from '../../src/inbox/stores/consumer-identity.ts';
import { createSuspectStore } from '../../src/inbox/stores/suspect-store.ts';
import { doctor } from '../../src/operations/doctor/doctor.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { toExecutor } from '../../src/postgres/executor.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { silentLogger, type Logger } from '../../src/runtime/log.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { clean, openLab, Placed, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
beforeEach(() => clean(lab));
afterAll(() => lab.dispose());

const make = (destination: string, formerDestinations: readonly string[] = []) =>
  lab.make({ destination, formerDestinations, handlers: [on(Placed, () => {})] });

it('refuses a second service with the same name and a queue of its own, also when both start at once', async () => {
  const both = [make('shop-orders'), make('billing-orders')];
  const started = await Promise.allSettled(both.map((consumer) => consumer.start()));
  const refused = started.findIndex(({ status }) => status === 'rejected');
  expect(started[refused]).toMatchObject({ reason: { code: 'HF_CONSUMER_NAME' } });
  expect(started[1 - refused]).toMatchObject({ status: 'fulfilled' });
  // Refused is not broken: it is the same the next time.
  await expect(both[refused]?.start()).rejects.toMatchObject({ code: 'HF_CONSUMER_NAME' });
  await Promise.all(both.map((consumer) => consumer.stop()));
});

it('lets old and new processes of a consumer run beside each other while its queue is renamed', async () => {
  const before = make('shipping');
  await before.start();
  const after = make('shipping-v2', ['shipping']);
  await after.start();
  // A restart of the old release, as a deployment that goes slowly has it.
  const again = make('shipping');
  await again.start();
  const third = make('shipping-v3', ['never-heard-of']);
  await expect(third.start()).rejects.toThrow(/receives from "shipping" and "shipping-v2", not from "shipping-v3"/);
  await Promise.all([before, after, again].map((consumer) => consumer.stop()));
});

it('outlives pruning', async () => {
  const consumer = make('shipping');
  await consumer.start();
  await consumer.stop();
  await lab.test.pool.query("UPDATE holdfast.delivery_attempt SET at = now() - interval '1 year'");
  await lab.database.transaction((tx) => createSuspectStore('holdfast', 'shipping').prune(toExecutor(tx), 1));
  await expect(make('other').start()).rejects.toMatchObject({ code: 'HF_CONSUMER_NAME' });
});

it.each([false, true])('says what is wrong when it starts on a read-only database, ordered: %s', async (ordered) => {
  const url = new URL(lab.test.url);
  url.searchParams.set('options', '-c default_transaction_read_only=on');
  const database = openDatabase({ url: url.href });
  try {
    const fresh = lab.make({ database, ordered, handlers: [on(Placed, () => {})] }, 'fresh');
    await expect(fresh.start()).rejects.toMatchObject({ code: 'HF_DATABASE_READ_ONLY' });
  } finally {
    await database.close();
  }
});

it('is told when the process started last has another broker or another retention, and is not kept from starting', async () => {
  const told: unknown[] = [];
  const log: Logger = {
    ...silentLogger,
    warn: (fields) => void told.push((fields as { differs: unknown }).differs),
    child: () => log,
  };
  const start = async (address: string, retention: '20d' | '30d'): Promise<Consumer> => {
    const transport = { ...createMemoryTransport(), address };
    const consumer = lab.make({ transport, retention, log, handlers: [on(Placed, () => {})] });
    await consumer.start();
    return consumer;
  };
  const all = [await start('redis a', '20d'), await start('redis a', '20d')];
  expect(told).toEqual([]);
  all.push(await start('redis b', '30d'), await start('redis b', '30d'));
  const days = (n: number): number => n * 86_400_000;
  expect(told).toEqual([
    [
      'broker redis b instead of redis a',
      `retention ${days(30)} ms instead of ${days(20)} ms, of which the shorter one counts`,
    ],
  ]);
  // A relay that publishes to that queue at another place would fill it for nobody.
  const relay = createRelay({
    database: lab.database,
    subscriptions: [
      {
        name: 'main',
        transport: { ...createMemoryTransport(), address: 'redis a' },
        routes: [{ topics: '**', to: 'shipping' }],
      },
    ],
  });
  await relay.prepare();
  const apart = async () => (await doctor(lab.database)).findings.filter(({ check }) => check === 'flow.brokers');
  expect(await apart()).toMatchObject([
    { what: expect.stringMatching(/shipping receives from redis b, .*main .*redis a/) },
  ]);
  all.push(await start('redis a', '30d'));
  expect(await apart()).toEqual([]);
  await relay.stop();
  await Promise.all(all.map((consumer) => consumer.stop()));
});

it('decides by what is stored', () => {
  const identity = { consumer: 'c', destination: 'q', former: ['old'], retentionMs: 1, broker: 'b' };
  const known = (...queues: string[]) => ({ queues, retentionMs: 1, broker: 'b' });
  expect(checkIdentity(identity, null)).toEqual({ next: known('q'), differs: [] });
  expect(checkIdentity(identity, known('q'))).toEqual({ next: null, differs: [] });
  expect(checkIdentity(identity, known('old'))).toEqual({ next: known('old', 'q'), differs: [] });
  expect(checkIdentity(identity, known('old', 'q')).next).toBeNull();
  expect(() => checkIdentity(identity, known('other'))).toThrow(/formerDestinations/);
  // A transport that does not say where it is changes nothing of what is known.
  expect(checkIdentity({ ...identity, broker: null }, known('q'))).toEqual({ next: null, differs: [] });
  expect(checkIdentity(identity, { ...known('q'), broker: null })).toEqual({ next: known('q'), differs: [] });
});
