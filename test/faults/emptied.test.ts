/** All tables emptied under running parts, as test suites do between tests: each goes on, or says that it cannot. */
import { afterAll, beforeAll, beforeEach, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { judgeLiveness } from '../../src/operations/health/judgements.ts';
import { createConsumer } from '../../src/inbox/consumer.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import { message } from '../../src/message/message-type.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { createSagas } from '../../src/saga/client/client.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { createWorker } from '../../src/saga/worker/worker.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { eventually } from '../support/eventually.ts';
import { recordingTransport } from '../support/recording-transport.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

const Noted = message('note.taken', { schema: z.object({ n: z.number() }), key: () => 'me' });
const outbox = createOutbox();
let test: TestDatabase;
let database: Database;

beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  database = openDatabase({ url: test.url });
});
beforeEach(() => empty(''));
afterAll(async () => {
  await database.close();
  await test.drop();
});

async function empty(how: '' | 'RESTART IDENTITY'): Promise<void> {
  const { rows } = await database.query<{ name: string }>(
    `SELECT format('holdfast.%I', relname) AS name FROM pg_class WHERE relnamespace = 'holdfast'::regnamespace AND relkind = 'r'
       AND relname <> 'migration'`,
  );
  await database.query(`TRUNCATE ${rows.map(({ name }) => name).join(', ')} ${how}`);
}

const send = (n: number) => database.transaction((tx) => outbox.send(tx, Noted, { n }));

it.each(['', 'RESTART IDENTITY'] as const)(
  'a relay goes on where it was, each message once (TRUNCATE %s)',
  async (how) => {
    const transport = recordingTransport();
    const relay = createRelay({
      database,
      subscriptions: [
        { name: 'main', transport, routes: [{ topics: '**', to: 'all' }], shards: 2, lease: '1s', idlePoll: 50 },
      ],
    });
    onTestFinished(() => relay.stop());
    await relay.start();
    const numbers = () => transport.data<{ n: number }>().map(({ n }) => n);
    for (let n = 1; n <= 5; n += 1) await send(n);
    await eventually('the first five', async () => numbers().length === 5);
    await empty(how);
    for (let n = 6; n <= 8; n += 1) await send(n);
    await eventually('the rest', async () => numbers().includes(8));
    await eventually(
      'the rows of both shards',
      async () => (await database.query('SELECT 1 FROM holdfast.subscription')).rowCount === 2,
    );
    await send(9);
    await eventually('the last', async () => numbers().includes(9));
    expect(numbers()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  },
);

it('a relay whose subscription was split in another number of shards says that it has ended', async () => {
  const subscription = { name: 'main', transport: recordingTransport(), routes: [{ topics: '**', to: 'all' }] };
  const relay = createRelay({ database, subscriptions: [subscription] });
  onTestFinished(() => relay.stop());
  await relay.prepare();
  await relay.tick();
  await empty('');
  const other = createRelay({ database, subscriptions: [{ ...subscription, shards: 2 }] });
  await other.prepare();
  await database.query('DELETE FROM holdfast.subscription WHERE shard = 0');
  await send(1);
  await relay.tick().catch(() => undefined);
  await eventually('the relay to notice', async () => {
    await relay.tick().catch(() => undefined);
    return relay.states[0]?.role === 'ended';
  });
  expect(judgeLiveness(relay.states, 0).ok).toBe(false);
});

it('a worker runs what is started after it, and a consumer handles what comes', async () => {
  const done: number[] = [];
  const count = saga({
    name: 'count',
    input: z.object({ n: z.number() }),
    steps: { note: step({ run: async (n: number) => void done.push(n) }) },
    run: async ({ input, steps }) => steps.note(input.n),
  });
  const worker = createWorker({ database, sagas: [count], lease: '2s' });
  onTestFinished(() => worker.stop());
  await worker.start();
  const client = createSagas({ database, sagas: [count] });
  await client.start(count, { n: 1 });
  await eventually('the first run', async () => done.includes(1));
  await empty('RESTART IDENTITY');
  await client.start(count, { n: 2 });
  await eventually('the run after it', async () => done.includes(2));

  const notes = createConsumer('notes', {
    database,
    transport: createMemoryTransport(),
    ordered: true,
    handlers: [on(Noted, async ({ n }) => void done.push(n))],
  });
  const give = (id: string, n: number) =>
    notes.handle({
      wire: JSON.stringify({
        specversion: '1.0',
        holdfast: 1,
        id,
        type: 'note.taken',
        source: 's',
        subject: 'me',
        time: '2026-01-01T00:00:00Z',
        data: { n },
      }),
      redeliveries: 0,
      signal: new AbortController().signal,
    });
  expect(await give('00000000-0000-7000-8000-000000000001', 11)).toEqual({ kind: 'done' });
  await empty('');
  expect(await give('00000000-0000-7000-8000-000000000002', 12)).toEqual({ kind: 'done' });
  expect(done).toEqual([1, 2, 11, 12]);
});
