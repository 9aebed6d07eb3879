/**
 * Nothing depends on what a service has told its driver or its sessions: type parsers of the whole process, a DateStyle, IntervalStyle,
 * bytea_output and time zone of the database, a client that renames columns.
 */
import { randomUUID } from 'node:crypto';
import { CamelCasePlugin, Kysely, PostgresDialect, type Transaction } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { createConsumer } from '../../src/inbox/consumer.ts';
import { idempotent } from '../../src/inbox/idempotency/idempotency.ts';
import { decodeEnvelope } from '../../src/message/envelope.ts';
import { message } from '../../src/message/message-type.ts';
import { doctor } from '../../src/operations/doctor/doctor.ts';
import { listMessages, showMessage } from '../../src/operations/reads/messages.ts';
import { listParked } from '../../src/operations/parked/parked.ts';
import { relayStatus } from '../../src/operations/relay/relay-status.ts';
import { requestReplay } from '../../src/operations/relay/replays.ts';
import { sagaStatus } from '../../src/operations/sagas/saga-status.ts';
import { listRuns, showRun } from '../../src/operations/sagas/sagas.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { migrationStatus, migrate } from '../../src/postgres/migrator.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { createParticipant } from '../../src/saga/participant/participant.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { createWorker } from '../../src/saga/worker/worker.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { delivery, wire } from '../inbox/lab.ts';
import { sent } from '../saga/participant-lab.ts';
import { recordingTransport } from '../support/recording-transport.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let test: TestDatabase;
let database: Database;
/** Puts the parsers of this process back: other test files run in it. */
const restore: (() => void)[] = [];

beforeAll(async () => {
  test = await createTestDatabase();
  const name = new URL(test.url).pathname.slice(1);
  await test.pool
    .query(`ALTER DATABASE ${name} SET DateStyle = 'German'; ALTER DATABASE ${name} SET TimeZone = 'Asia/Kolkata';
    ALTER DATABASE ${name} SET IntervalStyle = 'iso_8601'; ALTER DATABASE ${name} SET bytea_output = 'escape'`);
  const asText = (text: string): string => text;
  const { BOOL, INT2, INT4, INT8, JSON, JSONB, FLOAT8, TIMESTAMP, TIMESTAMPTZ } = pg.types.builtins;
  const texts = [BOOL, INT2, INT4, JSON, JSONB, FLOAT8, TIMESTAMP, TIMESTAMPTZ];
  for (const oid of [...texts, INT8]) {
    const before = pg.types.getTypeParser(oid, 'text') as (text: string) => unknown;
    restore.push(() => pg.types.setTypeParser(oid, before));
  }
  for (const oid of texts) pg.types.setTypeParser(oid, asText);
  pg.types.setTypeParser(INT8, BigInt);
  database = openDatabase({ url: test.url });
  await migrate(database);
});
afterAll(async () => {
  for (const each of restore) each();
  await database.close();
  await test.drop();
});

const recent = (time: Date | null | undefined): boolean => Math.abs((time?.getTime() ?? 0) - Date.now()) < 600_000;

describe('a process with type parsers of its own, on a database with formats of its own', () => {
  it('runs sagas, and tells their times', async () => {
    const flow = saga({
      name: 'flow',
      input: z.object({ n: z.number() }),
      signals: { go: z.string() },
      steps: { first: step({ run: (n: number) => ({ n: n + 1 }) }) },
      async run({ steps, input, waitFor }) {
        const { n } = await steps.first(input.n);
        return `${n} ${await waitFor('go')}`;
      },
    });
    // Nothing that waits stays in memory, so that it is read back.
    const worker = createWorker({ database, sagas: [flow], waiting: 0, idlePoll: '20ms' });
    await worker.start();
    const run = await worker.sagas.start(flow, { n: 1 });
    await run.signal('go', 'x');
    expect(await run.result({ timeout: '20s' })).toBe('2 x');
    await worker.stop();
    expect(await listRuns(database)).toMatchObject([{ id: run.id, status: 'completed' }]);
    const { startedAt, finishedAt } = (await showRun(database, run.id)).run;
    expect([recent(startedAt), recent(finishedAt)]).toEqual([true, true]);
  });

  it('tells the times of messages and migrations', async () => {
    const outbox = createOutbox();
    const Sent = message('some.thing', { schema: z.object({ n: z.number() }) });
    const { id } = await database.transaction((tx) => outbox.send(tx, Sent, { n: 1 }));
    const listed = await listMessages(database, {});
    expect(listed.map((each) => [each.id, recent(each.createdAt)])).toContainEqual([id, true]);
    const shown = await showMessage(database, id);
    expect('createdAt' in shown && recent(shown.createdAt)).toBe(true);
    const [first] = await migrationStatus(database);
    expect(recent(first?.appliedAt)).toBe(true);
  });

  it('relays, replays and schedules, with the times as they are', async () => {
    const transport = recordingTransport();
    const routes = [{ topics: 'some.**', to: 'all', ordered: true }];
    const prepared = async () => {
      const relay = createRelay({ database, subscriptions: [{ name: 'main', transport, routes }] });
      await relay.prepare();
      return relay;
    };
    const first = await prepared();
    const outbox = createOutbox();
    const Sent = message('some.note', { schema: z.object({ n: z.number() }), key: () => 'k' });
    await database.transaction(async (tx) => {
      await outbox.send(tx, Sent, { n: 1 });
      await outbox.send(tx, Sent, { n: 2 }, { deliverAt: new Date(Date.now() - 1_000) });
    });
    for (let n = 0; n < 3; n += 1) await first.tick();
    await first.stop();
    const notes = transport.sent.flatMap(({ topic, wire: text }) => (topic === Sent.topic ? decodeEnvelope(text) : []));
    expect(notes.map(({ data, time }) => [data, recent(time)])).toEqual([
      [{ n: 1 }, true],
      [{ n: 2 }, true],
    ]);
    const predecessor = notes[1]?.predecessor;
    expect([predecessor?.at, predecessor?.sentAt, predecessor?.followedAt].map(recent)).toEqual([true, true, true]);
    const since = new Date(Date.now() - 600_000);
    const replay = await requestReplay(
      database,
      { subscription: 'main', since, topic: 'some.note' },
      { actor: 'ann', reason: 'lost' },
    );
    expect([replay.messages, recent(replay.oldest), recent(replay.newest)]).toEqual([2, true, true]);
    const [status] = (await relayStatus(database)).replays;
    expect(status).toMatchObject({ id: replay.id });
    // A new one looks for replays at once.
    const relay = await prepared();
    for (let n = 0; n < 2; n += 1) await relay.tick();
    expect(transport.sent.filter(({ replayId }) => replayId === replay.id)).toHaveLength(2);
    const [subscription] = (await relayStatus(database)).subscriptions;
    expect(subscription).toMatchObject({ live: true, behind: 0, retentionMs: 7 * 86_400_000 });
    expect(subscription?.lease?.remainingMs).toBeGreaterThan(0);
    await relay.stop();
    // Whatever it finds, it reads nothing wrong and stumbles over nothing.
    expect((await doctor(database)).checks).toContain('roles');
    expect(await sagaStatus(database)).toMatchObject({ workers: [] });
  });

  it('reads the answers of idempotency keys', async () => {
    const answers: unknown[] = [];
    for (let time = 0; time < 2; time += 1)
      answers.push(
        await database.transaction((tx) => idempotent(tx, { key: 'k', fingerprint: 'f' }, () => ({ a_b: 1 }))),
      );
    expect(answers).toEqual([{ a_b: 1 }, { a_b: 1 }]);
  });
});

/** Kysely that renames columns and the keys of what is read, in both directions. Closed when the test ends, however it ends. */
function renaming(): Kysely<object> {
  const db = new Kysely<object>({
    dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: test.url, max: 4 }) }),
    plugins: [new CamelCasePlugin()],
  });
  onTestFinished(() => db.destroy());
  return db;
}

it('a participant with a runner that renames columns answers and compensates by what it recorded', async () => {
  const db = renaming();
  const Reserve = message('stock.reserve', { schema: z.object({ sku_code: z.string() }) });
  const Release = message('stock.release', { schema: z.object({ sku_code: z.string() }) });
  const Reserved = message('stock.reserved', { schema: z.object({ stock_id: z.string() }) });
  const compensated: unknown[] = [];
  const stock = createParticipant<Transaction<object>>('stock', {
    runner: { transaction: (fn) => db.transaction().execute(fn) },
    transport: createMemoryTransport(),
    random: () => 0,
    redeliveryHorizon: '1d',
    handlers: (handle) => [
      handle(Reserve, { reply: Reserved }, async () => ({ stock_id: 's-1' })),
      handle(Release, { compensates: Reserve, reply: Reserved }, async (_release, { command, reply }) => {
        compensated.push(command, reply);
      }),
    ],
  });
  const [id, data] = [randomUUID(), { sku_code: 'a' }];
  // Once more by a process that takes over from one that died.
  for (const redeliveries of [0, 1])
    expect(await stock.handle(sent({ id, data }, { redeliveries }))).toEqual({ kind: 'done' });
  expect(await stock.handle(sent({ role: 'compensation', outcome: 'done', data }))).toEqual({ kind: 'done' });
  expect(compensated).toEqual([{ sku_code: 'a' }, { stock_id: 's-1' }]);
  expect(await listParked(database, { where: 'stock' })).toEqual([]);
});

it('a runner that renames columns, in both directions, parks and redrives with the payload as it was', async () => {
  const db = renaming();
  const Placed = message('order.placed', { schema: z.record(z.string(), z.unknown()) });
  const seen: unknown[] = [];
  let works = false;
  const shipping = createConsumer('renaming', {
    runner: { transaction: (fn) => db.transaction().execute(fn) },
    transport: createMemoryTransport(),
    random: () => 0,
    ordered: true,
    retry: { attempts: 1 },
    redeliveryHorizon: '1d',
    handlers: (on) => [
      on(Placed, (payload) => {
        if (!works) throw new Error('not yet');
        seen.push(payload);
      }),
    ],
  });
  const first = wire({ key: 'k', data: { order_id: 1, deep: { snake_case: [{ a_b: 1 }] } } });
  await shipping.handle(delivery(first));
  await shipping.handle(delivery(wire({ key: 'k', data: { order_id: 2 }, predecessor: { id: first.id } })));
  // Of one key, in the order of its line.
  const parked = await listParked(database, { where: 'renaming', key: 'k' });
  expect(parked.map(({ state, parkedAt }) => [state, recent(parkedAt)])).toEqual([
    ['failed', true],
    ['behind', true],
  ]);
  works = true;
  await shipping.tickParked();
  await shipping.tickParked();
  expect(seen).toEqual([{ order_id: 1, deep: { snake_case: [{ a_b: 1 }] } }, { order_id: 2 }]);
});
