import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { migrate } from '../../src/postgres/migrator.ts';
import { createWaker, type Waker } from '../../src/postgres/wake-up.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let server: TestDatabase;
let database: Database;
let waker: Waker;
let wakes: number;
let waiting: { count: number; resolve: () => void }[];

beforeAll(async () => {
  server = await createTestDatabase();
  // Not the default, so that the channel's name is seen to follow the schema.
  database = openDatabase({ url: server.url, schema: 'Own-Schema', applicationName: 'waker' });
  await migrate(database);
});
afterAll(async () => {
  await database.close();
  await server.drop();
});
beforeEach(() => {
  wakes = 0;
  waiting = [];
  waker = createWaker({
    database,
    log: silentLogger,
    onWake: () => {
      wakes += 1;
      for (const each of waiting) if (wakes >= each.count) each.resolve();
    },
  });
});
afterEach(async () => {
  await waker.stop();
  await waker.stop();
});

/** Resolves once there were `count` wake-ups since the start of the test. */
async function wakeUp(count: number): Promise<void> {
  if (wakes >= count) return;
  await new Promise<void>((resolve) => {
    waiting.push({ count, resolve });
  });
}

async function send(): Promise<void> {
  await server.pool.query(`SELECT "Own-Schema".send('order.placed', '{}')`);
}

test('wakes after connecting, and then when a message is committed while asleep', async () => {
  expect(waker.listening).toBe(false);
  await waker.start();
  await wakeUp(1);
  expect(waker.listening).toBe(true);
  await waker.setAsleep(true);
  await send();
  await wakeUp(2);
});

test('an awake relay is not notified', async () => {
  await waker.start();
  await wakeUp(1);
  await waker.setAsleep(true);
  await waker.setAsleep(false);
  await send();
  await send();
  // Notifications arrive in the order of their commits, so one of the sends before would have come first.
  await waker.setAsleep(true);
  await send();
  await wakeUp(2);
  await server.pool.query(`SELECT pg_notify('"Own-Schema".wake', 'last')`);
  await wakeUp(3);
  expect(wakes).toBe(3);
});

test('a transaction with holdfast.wake = off notifies nobody', async () => {
  await waker.start();
  await wakeUp(1);
  await waker.setAsleep(true);
  const client = await server.pool.connect();
  await client.query('BEGIN');
  await client.query("SET LOCAL holdfast.wake = 'off'");
  await client.query(`SELECT "Own-Schema".send('order.placed', '{}')`);
  await client.query('COMMIT');
  client.release();
  await server.pool.query(`SELECT pg_notify('"Own-Schema".wake', 'last')`);
  await wakeUp(2);
  expect(wakes).toBe(2);
});

test('what is known already is not written again', async () => {
  const state = async (): Promise<unknown> =>
    (await server.pool.query('SELECT last_value, is_called FROM "Own-Schema".relay_asleep')).rows[0];
  // A write would set is_called.
  await server.pool.query(`SELECT setval('"Own-Schema".relay_asleep', 2, false)`);
  await waker.setAsleep(true);
  expect(await state()).toEqual({ last_value: '2', is_called: false });
  await waker.setAsleep(false);
  expect(await state()).toEqual({ last_value: '1', is_called: true });
});

test('reconnects by itself and wakes, because something may have been missed', async () => {
  await waker.start();
  await wakeUp(1);
  await server.pool.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()`,
  );
  await wakeUp(2);
  await waker.setAsleep(true);
  await send();
  await wakeUp(3);
  expect(waker.listening).toBe(true);
});

test('starts while the database is away, stops, and starts again', async () => {
  const away = openDatabase({ pool: { host: '127.0.0.1', port: 1 } });
  const patient = createWaker({ database: away, log: silentLogger, onWake: () => {} });
  await patient.start();
  expect(patient.listening).toBe(false);
  await patient.stop();
  await away.close();

  await waker.start();
  await wakeUp(1);
  await waker.stop();
  expect(waker.listening).toBe(false);
  await waker.start();
  await wakeUp(2);
});

test('a worker is woken by runs and mail, and not by messages', async () => {
  const worker = createWaker({
    database,
    sleeper: 'worker',
    log: silentLogger,
    onWake: () => {
      wakes += 1;
      for (const each of waiting) if (wakes >= each.count) each.resolve();
    },
  });
  try {
    await worker.start();
    await wakeUp(1);
    await worker.setAsleep(true);
    await send();
    const run = '00000000-0000-7000-8000-000000000001';
    await server.pool.query(`SELECT "Own-Schema".start_runs($1, false)`, [
      JSON.stringify([{ id: run, saga: 's', version: 1, input: null }]),
    ]);
    await wakeUp(2);
    await server.pool.query(`SELECT "Own-Schema".send_saga_mail($1, 'undo', '{"kind":"undo"}', '{pending}', false)`, [
      run,
    ]);
    await wakeUp(3);
    await worker.setAsleep(false);
    expect(wakes).toBe(3);
  } finally {
    await worker.stop();
  }
});
