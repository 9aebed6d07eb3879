/** The relay end to end on a real database: what is committed goes out, in order, once the cursor says so. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createRelay, type Relay } from '../../src/relay/relay.ts';
import type { SubscriptionOptions } from '../../src/relay/options.ts';
import { recordingTransport } from '../support/recording-transport.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

const Note = message('note.taken', { schema: z.object({ n: z.number(), who: z.string().default('me') }), key: (note) => note.who });
const outbox = createOutbox();
let test: TestDatabase;
let database: Database;
const open: Relay[] = [];

beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  database = openDatabase({ url: test.url, max: 20 });
});
beforeEach(async () => {
  await Promise.all(open.splice(0).map((relay) => relay.stop()));
  await database.query('TRUNCATE holdfast.outbox, holdfast.subscription, holdfast.parked_message, holdfast.scheduled_message, holdfast.key_head, holdfast.replay');
});
afterAll(async () => {
  await Promise.all(open.map((relay) => relay.stop()));
  await database.close();
  await test.drop();
});

async function relayOf(options: Partial<SubscriptionOptions> = {}) {
  const transport = recordingTransport();
  const relay = createRelay({ database, subscriptions: [{ name: 'main', transport, routes: [{ topics: '**', to: 'all' }], ...options }] });
  await relay.prepare();
  open.push(relay);
  return { relay, transport };
}

const write = (...notes: { n: number; who?: string }[]) =>
  database.transaction(async (tx) => {
    for (const note of notes) await outbox.send(tx, Note, note);
  });
const numbers = (transport: { data<T>(): T[] }) => transport.data<{ n: number }>().map((note) => note.n);

describe('relay', () => {
  it('publishes what is committed, in order, and nothing of a rollback', async () => {
    const { relay, transport } = await relayOf();
    await write({ n: 1 }, { n: 2 });
    await database.transaction(async (tx) => {
      await outbox.send(tx, Note, { n: 3 });
      throw new Error('changed my mind');
    }).catch(() => {});
    await write({ n: 4 });
    await relay.tick();
    expect(numbers(transport)).toEqual([1, 2, 4]);
    await relay.tick();
    expect(transport.sent).toHaveLength(3);
  });

  it('delivers late committers whatever is still open', async () => {
    const { relay, transport } = await relayOf();
    const early = await database.pool.connect();
    const pinned = await database.pool.connect();
    await pinned.query('BEGIN; SELECT pg_current_xact_id()');
    await early.query('BEGIN');
    await outbox.send(early, Note, { n: 1 });
    await write({ n: 2 });
    await relay.tick();
    expect(numbers(transport)).toEqual([2]);
    await early.query('COMMIT');
    await relay.tick();
    await relay.tick();
    expect(numbers(transport)).toEqual([2, 1]);
    await pinned.query('ROLLBACK');
    early.release();
    pinned.release();
  });

  it('goes on where it stopped', async () => {
    const first = await relayOf();
    await write({ n: 1 });
    await first.relay.tick();
    await first.relay.stop();
    await write({ n: 2 });
    const second = await relayOf();
    await second.relay.tick();
    expect(numbers(second.transport)).toEqual([2]);
  });
});
