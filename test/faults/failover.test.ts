/**
 * A server that comes back on another timeline, as a promoted standby does, and has forgotten what its consumers handled last, although
 * the cursor says that it was delivered and the broker that it was handled.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createConsumer } from '../../src/inbox/consumer.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import { message } from '../../src/message/message-type.ts';
import { adopt } from '../../src/operations/doctor/environment.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { migrate } from '../../src/postgres/migrator.ts';
import type { SubscriptionOptions } from '../../src/relay/subscription/options.ts';
import { createRelay, type Relay } from '../../src/relay/relay.ts';
import { startPostgres, type PostgresServer } from '../../src/servers/postgres.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { eventually } from '../support/eventually.ts';
import { recordingTransport, type RecordingTransport } from '../support/recording-transport.ts';

const Noted = message('note.taken', { schema: z.object({ n: z.number() }), key: ({ n }) => `k${n % 3}` });
const outbox = createOutbox();
let server: PostgresServer;
let database: Database;
const relays: Relay[] = [];

beforeAll(async () => {
  // With it, a server in recovery goes by the log that it has, and promotes itself at its end.
  server = await startPostgres({ settings: { restore_command: 'false' } });
  database = openDatabase({ url: server.url });
  await migrate(database);
  await database.query('CREATE TABLE effect (n int, at bigserial)');
}, 120_000);
beforeEach(async () => {
  await database.query(
    'TRUNCATE holdfast.outbox, holdfast.subscription, holdfast.replay, holdfast.key_head, holdfast.inbox, effect',
  );
});
afterAll(async () => {
  await database.close();
  await server.dispose();
});

async function relayOf(
  options: Partial<SubscriptionOptions>,
): Promise<{ relay: Relay; transport: RecordingTransport }> {
  const transport = recordingTransport();
  const routes = [{ topics: '**', to: 'notes', ordered: true }];
  const relay = createRelay({ database, subscriptions: [{ name: 'main', transport, routes, ...options }] });
  relays.push(relay);
  await relay.prepare();
  return { relay, transport };
}

/** Handles what the broker has, as it comes. */
async function handleAll({ sent }: RecordingTransport): Promise<void> {
  const notes = createConsumer('notes', {
    database,
    transport: createMemoryTransport(),
    handlers: [on(Noted, async ({ n }, { tx }) => tx.query('INSERT INTO effect (n) VALUES ($1)', [n]))],
  });
  for (const { wire } of sent)
    expect(await notes.handle({ wire, redeliveries: 0, signal: new AbortController().signal })).toEqual({
      kind: 'done',
    });
}

async function promote(): Promise<void> {
  const { rows } = await database.query<{ data_directory: string }>('SHOW data_directory');
  await server.stop();
  writeFileSync(join(rows[0]?.data_directory ?? '', 'recovery.signal'), '', { mode: 0o666 });
  await server.start();
  // It answers while it is still in recovery, and takes no writes then.
  await eventually(
    'the server to be promoted',
    async () => {
      const { rows: answer } = await database
        .query<{ waits: boolean }>('SELECT pg_is_in_recovery() AS waits')
        .catch(() => ({ rows: [] }));
      return answer[0]?.waits === false;
    },
    60_000,
  );
}

/** 30 messages, published and handled; then the server loses what was handled last, and writes another timeline. */
async function failOver(options: Partial<SubscriptionOptions> = {}): Promise<void> {
  const { relay, transport } = await relayOf(options);
  for (let n = 1; n <= 30; n += 1) await database.transaction((tx) => outbox.send(tx, Noted, { n }));
  await relay.tick();
  await handleAll(transport);
  await relay.stop();
  await database.query('DELETE FROM effect WHERE n > 20');
  await database.query(
    `DELETE FROM holdfast.inbox WHERE message_id IN (SELECT id FROM holdfast.outbox WHERE (payload ->> 'n')::int > 20)`,
  );
  await promote();
}

const effects = async () =>
  (await database.query<{ n: number }>('SELECT n FROM effect ORDER BY at')).rows.map(({ n }) => n);

describe('after a failover', () => {
  it(
    'the end of what was published is published again, and each message has its effect once',
    { timeout: 120_000 },
    async () => {
      await failOver();
      const { relay, transport } = await relayOf({});
      for (let round = 0; round < 3; round += 1) await relay.tick();
      await handleAll(transport);
      expect(await effects()).toEqual(Array.from({ length: 30 }, (_, index) => index + 1));
      await relay.stop();
      // And that is that: the next relay finds the server it knows.
      const next = await relayOf({});
      await next.relay.tick();
      expect(next.transport.sent).toEqual([]);
      await next.relay.stop();
    },
  );

  it('nothing is published, where that is asked for, until a person says so', { timeout: 120_000 }, async () => {
    await failOver({ failoverReplay: 'hold' });
    const { relay, transport } = await relayOf({ failoverReplay: 'hold' });
    await database.transaction((tx) => outbox.send(tx, Noted, { n: 31 }));
    await expect(relay.tick()).rejects.toMatchObject({ code: 'HF_FAILOVER' });
    expect(transport.sent).toEqual([]);
    await adopt(database, { actor: 'ann', reason: 'checked' });
    for (let round = 0; round < 2; round += 1) await relay.tick();
    expect(transport.data<{ n: number }>().map(({ n }) => n)).toEqual([31]);
    await relay.stop();
  });
});
