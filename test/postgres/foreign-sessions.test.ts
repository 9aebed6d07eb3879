/**
 * Nothing depends on what a service has told its driver or its sessions: type parsers of the whole process, a DateStyle, IntervalStyle,
 * bytea_output and time zone of the database, a client that renames columns.
 */
import { CamelCasePlugin, Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { consumer } from '../../src/inbox/consumer.ts';
import { idempotent } from '../../src/inbox/idempotency.ts';
import { message } from '../../src/message/message-type.ts';
import { listMessages, showMessage } from '../../src/operations/messages.ts';
import { listParked } from '../../src/operations/parked.ts';
import { listRuns, showRun } from '../../src/operations/sagas.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { migrationStatus, migrate } from '../../src/postgres/migrator.ts';
import { saga } from '../../src/saga/definition.ts';
import { step } from '../../src/saga/steps.ts';
import { createWorker } from '../../src/saga/worker.ts';
import { memoryTransport } from '../../src/transport/memory.ts';
import { delivery, wire } from '../inbox/lab.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let test: TestDatabase;
let database: Database;

beforeAll(async () => {
  test = await createTestDatabase();
  const name = new URL(test.url).pathname.slice(1);
  await test.pool
    .query(`ALTER DATABASE ${name} SET DateStyle = 'SQL, DMY'; ALTER DATABASE ${name} SET TimeZone = 'Asia/Kolkata';
    ALTER DATABASE ${name} SET IntervalStyle = 'iso_8601'; ALTER DATABASE ${name} SET bytea_output = 'escape'`);
  const asText = (text: string): string => text;
  const { BOOL, INT2, INT4, INT8, JSON, JSONB, FLOAT8, TIMESTAMP, TIMESTAMPTZ } = pg.types.builtins;
  for (const oid of [BOOL, INT2, INT4, JSON, JSONB, FLOAT8, TIMESTAMP, TIMESTAMPTZ])
    pg.types.setTypeParser(oid, asText);
  pg.types.setTypeParser(INT8, BigInt);
  database = openDatabase({ url: test.url });
  await migrate(database);
});
afterAll(async () => {
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

  it('reads the answers of idempotency keys', async () => {
    const answers: unknown[] = [];
    for (let time = 0; time < 2; time += 1)
      answers.push(await database.transaction((tx) => idempotent(tx, 'k', 'f', () => ({ a_b: 1 }))));
    expect(answers).toEqual([{ a_b: 1 }, { a_b: 1 }]);
  });
});

it('a runner that renames columns, in both directions, parks and redrives with the payload as it was', async () => {
  const db = new Kysely<object>({
    dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: test.url, max: 4 }) }),
    plugins: [new CamelCasePlugin()],
  });
  const Placed = message('order.placed', { schema: z.record(z.string(), z.unknown()) });
  const seen: unknown[] = [];
  let works = false;
  const shipping = consumer('renaming', {
    runner: { transaction: (fn) => db.transaction().execute(fn) },
    transport: memoryTransport(),
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
  const parked = await listParked(database, {});
  expect(parked.map(({ state, parkedAt }) => [state, recent(parkedAt)])).toEqual([
    ['failed', true],
    ['behind', true],
  ]);
  works = true;
  await shipping.tickParked();
  await shipping.tickParked();
  expect(seen).toEqual([{ order_id: 1, deep: { snake_case: [{ a_b: 1 }] } }, { order_id: 2 }]);
  await db.destroy();
});
