/** Operations on a real database: what is shown is what is there, and every act leaves its audit row or nothing at all. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { discardParked, dropSubscription, retryParked } from '../../src/operations/interventions.ts';
import { listMessages, showMessage } from '../../src/operations/messages.ts';
import { listParked, showParked } from '../../src/operations/parked.ts';
import { fadedRate, relayStatus } from '../../src/operations/relay-status.ts';
import { planReplay, requestReplay } from '../../src/operations/replays.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createRelay, type Relay } from '../../src/relay/relay.ts';
import type { PublishOutcome } from '../../src/transport/port.ts';
import { published, recordingTransport } from '../support/recording-transport.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

const Note = message('note.taken', {
  schema: z.object({ n: z.number(), who: z.string().default('me') }),
  key: (note) => note.who,
});
const outbox = createOutbox();
const me = { actor: 'tester' };
const NOBODY = '00000000-0000-7000-8000-000000000000';
let test: TestDatabase;
let database: Database;
const open: Relay[] = [];

beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  database = openDatabase({ url: test.url, max: 20 });
});
beforeEach(async () => {
  await Promise.all(open.splice(0).map((relay) => relay.stop()));
  await database.query(
    `TRUNCATE holdfast.outbox, holdfast.subscription, holdfast.parked_message, holdfast.parked_delivery, holdfast.scheduled_message,
       holdfast.key_head, holdfast.replay, holdfast.inbox, holdfast.audit RESTART IDENTITY`,
  );
});
afterAll(async () => {
  await Promise.all(open.map((relay) => relay.stop()));
  await database.close();
  await test.drop();
});

async function relayOf(name = 'main') {
  const transport = recordingTransport();
  const relay = createRelay({
    database,
    owner: 'relay-1',
    subscriptions: [{ name, transport, routes: [{ topics: 'note.**', to: 'notes' }], idlePoll: '50ms' }],
  });
  await relay.prepare();
  open.push(relay);
  return { relay, transport };
}

const write = (...notes: { n: number; who?: string }[]) =>
  database.transaction(async (tx) => {
    const ids: string[] = [];
    for (const note of notes) ids.push((await outbox.send(tx, Note, note)).id);
    return ids;
  });
const audit = async () =>
  (await database.query('SELECT actor, action, subject, reason, details FROM holdfast.audit ORDER BY id')).rows as {
    action: string;
    subject: string;
    reason: string | null;
    details: Record<string, unknown>;
  }[];
const refused: PublishOutcome = { kind: 'refused', permanent: true, error: new Error('too big') };
const numberOf = (wire: string) => (JSON.parse(wire) as { data: { n: number } }).data.n;

/** A relay whose broker refuses messages for good while `bad` has their number. */
async function withParked(notes: { n: number; who?: string }[], bad: Set<number>) {
  const { relay, transport } = await relayOf();
  transport.respond = async (batch) => batch.map(({ wire }) => (bad.has(numberOf(wire)) ? refused : published));
  const ids: string[] = [];
  for (const note of notes) {
    ids.push(...(await write(note)));
    await relay.tick();
  }
  return { relay, transport, ids };
}

async function parkDelivery(consumer: string, id: string, key: string | null = null) {
  await database.query(
    `INSERT INTO holdfast.parked_delivery (consumer, message_id, topic, key, envelope, state, reason, error, attempts)
     VALUES ($1, $2, 'note.taken', $3, '{"data": {"n": 7}}', 'failed', 'gave up', 'Error: no', 5)`,
    [consumer, id, key],
  );
}

describe('relayStatus', () => {
  it('of an empty database is empty', async () => {
    expect(await relayStatus(database)).toEqual({
      schema: 'holdfast',
      log: { newestSeq: null, oldestSeq: null, oldestAgeMs: null },
      subscriptions: [],
      scheduled: { count: 0, nextInMs: null },
      consumers: [],
      replays: [],
    });
  });

  it('shows lag, lease and totals', async () => {
    const { relay } = await relayOf();
    await write({ n: 1 }, { n: 2 }, { n: 3 });
    const before = (await relayStatus(database)).subscriptions[0]!;
    expect(before).toMatchObject({ name: 'main', shard: 0, live: false, lease: null, behind: 3, published: 0 });
    expect(before.oldestUnpublishedAgeMs).toBeGreaterThan(0);
    await relay.tick();
    await relay.stop();
    const after = (await relayStatus(database)).subscriptions[0]!;
    expect(after).toMatchObject({ behind: 0, oldestUnpublishedAgeMs: null, published: 3, lease: null, trouble: null });
    expect(after.retentionMs).toBe(7 * 86_400_000);
  });

  it('shows who holds a lease, and when it has run out', async () => {
    const { relay } = await relayOf();
    await relay.tick();
    const held = (await relayStatus(database)).subscriptions[0]!;
    expect(held).toMatchObject({ live: true, lease: { owner: 'relay-1', epoch: 1 } });
    await database.query(`UPDATE holdfast.subscription SET lease_until = now() - interval '1 hour'`);
    expect((await relayStatus(database)).subscriptions[0]).toMatchObject({
      live: false,
      lease: { owner: 'relay-1', remainingMs: 0 },
    });
  });

  it('counts what is parked, scheduled, and parked by consumers', async () => {
    await withParked([{ n: 1 }, { n: 2 }, { n: 3, who: 'you' }], new Set([1]));
    const [id] = await write({ n: 9, who: 'us' });
    await parkDelivery('shipping', id!);
    await database.transaction((tx) => outbox.send(tx, Note, { n: 10 }, { delay: '1h' }));
    const status = await relayStatus(database);
    expect(status.subscriptions[0]?.parked).toEqual({ failed: 0, behind: 1, dead: 1 });
    expect(status.consumers).toMatchObject([{ consumer: 'shipping', failed: 0, behind: 0, dead: 1 }]);
    expect(status.scheduled.count).toBe(1);
    expect(status.scheduled.nextInMs).toBeGreaterThan(3_500_000);
  });

  it('fades the rate of a quiet subscription', () => {
    expect(fadedRate(100, 0)).toBe(100);
    expect(fadedRate(100, 5_000)).toBeCloseTo(36.79, 1);
    expect(fadedRate(100, 60_000)).toBe(0);
    expect(fadedRate(100, null)).toBe(0);
  });
});

describe('listMessages and showMessage', () => {
  it('lists newest first, filters, and pages both ways', async () => {
    await write({ n: 1 }, { n: 2, who: 'you' }, { n: 3 });
    const seqs = async (filter: Parameters<typeof listMessages>[1]) =>
      (await listMessages(database, filter)).map(({ seq }) => seq);
    expect(await seqs({})).toEqual([3, 2, 1]);
    expect(await seqs({ limit: 2 })).toEqual([3, 2]);
    expect(await seqs({ beforeSeq: 2 })).toEqual([1]);
    expect(await seqs({ afterSeq: 1 })).toEqual([2, 3]);
    expect(await seqs({ key: 'you' })).toEqual([2]);
    expect(await seqs({ topic: 'note.*' })).toEqual([3, 2, 1]);
    expect(await seqs({ topic: 'order.*' })).toEqual([]);
    await expect(listMessages(database, { limit: 0 })).rejects.toThrow(/1 to 1000/);
    await expect(listMessages(database, { topics: 'x' } as never)).rejects.toThrow(/Did you mean "topic"/);
  });

  it('finds by time whatever gaps the log has', async () => {
    for (let n = 1; n <= 40; n += 1) await write({ n });
    await database.query(`DELETE FROM holdfast.outbox WHERE seq % 3 = 0`);
    // One message a minute, the last an hour ago.
    await database.query(
      `UPDATE holdfast.outbox SET created_at = now() - interval '1 hour' - (40 - seq) * interval '1 minute'`,
    );
    const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000);
    for (const [since, until] of [
      [100, 60],
      [75.5, 70.5],
      [500, 200],
      [10, 0],
      [81.5, 60.5],
    ] as const) {
      const expected = (
        await database.query<{ seq: string }>(
          `SELECT seq FROM holdfast.outbox WHERE created_at >= $1 AND created_at < $2 ORDER BY seq DESC`,
          [minutesAgo(since), minutesAgo(until)],
        )
      ).rows.map(({ seq }) => Number(seq));
      const found = await listMessages(database, { since: minutesAgo(since), until: minutesAgo(until) });
      expect(found.map(({ seq }) => seq)).toEqual(expected);
    }
  });

  it('shows a message with its envelope and who is past it', async () => {
    const { relay } = await relayOf();
    const [id] = await write({ n: 1 });
    expect(await showMessage(database, id!)).toMatchObject({
      id,
      seq: 1,
      topic: 'note.taken',
      key: 'me',
      envelope: { specversion: '1.0', type: 'note.taken', subject: 'me', schemaversion: 1, data: { n: 1 } },
      subscriptions: [{ subscription: 'main', shard: 0, state: 'waiting' }],
      consumers: [],
    });
    await relay.tick();
    await relay.stop();
    await database.query(`INSERT INTO holdfast.inbox (consumer, message_id) VALUES ('billing', $1), ('shipping', $2)`, [
      id,
      NOBODY,
    ]);
    const shown = await showMessage(database, id!);
    expect(shown).toMatchObject({
      subscriptions: [{ state: 'passed' }],
      consumers: [{ consumer: 'billing', state: 'handled' }],
    });
  });

  it('says that a late committer is still waiting although the cursor is further on', async () => {
    const { relay } = await relayOf();
    const early = await database.pool.connect();
    await early.query('BEGIN');
    const { id } = await outbox.send(early, Note, { n: 1 });
    await write({ n: 2 });
    await relay.tick();
    await relay.stop();
    await early.query('COMMIT');
    early.release();
    expect(await showMessage(database, id)).toMatchObject({ subscriptions: [{ state: 'waiting' }] });
  });

  it('knows scheduled ones, and says when there is none', async () => {
    const { id } = await database.transaction((tx) => outbox.send(tx, Note, { n: 1 }, { delay: '1h' }));
    expect(await showMessage(database, id)).toMatchObject({ scheduled: { id, topic: 'note.taken' } });
    await expect(showMessage(database, NOBODY)).rejects.toMatchObject({ code: 'HF_NOT_FOUND' });
    await expect(showMessage(database, '17')).rejects.toMatchObject({ code: 'HF_CONFIG' });
  });
});

describe('parked messages', () => {
  it('are listed from relays and consumers alike', async () => {
    const { ids } = await withParked([{ n: 1 }, { n: 2 }], new Set([1]));
    await parkDelivery('shipping', NOBODY, 'k');
    const all = await listParked(database);
    expect(all).toMatchObject([
      { kind: 'relay', where: 'main', id: ids[0], seq: 1, state: 'dead', error: 'Error: too big', retryInMs: null },
      { kind: 'relay', where: 'main', id: ids[1], seq: 2, state: 'behind' },
      { kind: 'consumer', where: 'shipping', id: NOBODY, seq: null, state: 'dead', attempts: 5 },
    ]);
    expect(await listParked(database, { kind: 'consumer' })).toHaveLength(1);
    expect(await listParked(database, { state: 'behind' })).toMatchObject([{ id: ids[1] }]);
    expect(await listParked(database, { key: 'me', limit: 1 })).toMatchObject([{ id: ids[0] }]);
    expect(await listParked(database, { topic: 'other.*' })).toEqual([]);
    expect(await showParked(database, ids[0]!)).toMatchObject([{ data: { n: 1 }, waitingBehind: 1, headId: null }]);
    expect(await showParked(database, ids[1]!)).toMatchObject([{ data: { n: 2 }, waitingBehind: 0, headId: ids[0] }]);
    expect(await showParked(database, NOBODY)).toMatchObject([{ kind: 'consumer', data: { n: 7 } }]);
  });

  it('go out in order after a retry, which is audited', async () => {
    const bad = new Set([1]);
    const { relay, transport, ids } = await withParked([{ n: 1 }, { n: 2 }], bad);
    bad.clear();
    // Asked for by the one behind: what holds it up is tried.
    expect(await retryParked(database, { id: ids[1]! }, { ...me, reason: 'limit raised' })).toEqual([
      { kind: 'relay', where: 'main', retried: 1 },
    ]);
    await relay.stop();
    await relay.tick();
    expect(transport.data<{ n: number }>().map(({ n }) => n)).toEqual([1, 2]);
    expect(await listParked(database)).toEqual([]);
    expect(await audit()).toEqual([
      {
        actor: 'tester',
        action: 'parked.retry',
        subject: `main/${ids[1]}`,
        reason: 'limit raised',
        details: { kind: 'relay', messages: 1, ids: [ids[0]] },
      },
    ]);
  });

  it('are retried everywhere by key or all, or in one place', async () => {
    await withParked(
      [
        { n: 1, who: 'k' },
        { n: 2, who: 'l' },
      ],
      new Set([1, 2]),
    );
    await parkDelivery('shipping', NOBODY, 'k');
    expect(await retryParked(database, { key: 'k' }, me)).toEqual([
      { kind: 'relay', where: 'main', retried: 1 },
      { kind: 'consumer', where: 'shipping', retried: 1 },
    ]);
    expect(await retryParked(database, { all: true, subscription: 'main' }, me)).toEqual([
      { kind: 'relay', where: 'main', retried: 2 },
    ]);
    expect(await retryParked(database, { all: true, consumer: 'nobody' }, me)).toEqual([]);
    expect(await audit()).toHaveLength(3);
    await expect(retryParked(database, { id: NOBODY, subscription: 'main' }, me)).rejects.toMatchObject({
      code: 'HF_NOT_FOUND',
    });
    await expect(retryParked(database, {}, me)).rejects.toMatchObject({ code: 'HF_CONFIG' });
    await expect(retryParked(database, { key: 'k', all: true }, me)).rejects.toMatchObject({ code: 'HF_CONFIG' });
    expect(await audit()).toHaveLength(3);
  });

  it('are discarded with a reason, and what waited behind goes on', async () => {
    const { relay, transport, ids } = await withParked([{ n: 1 }, { n: 2 }], new Set([1]));
    await expect(discardParked(database, { id: ids[0]! }, { ...me, reason: ' ' })).rejects.toMatchObject({
      code: 'HF_CONFIG',
    });
    await discardParked(database, { id: ids[0]! }, { ...me, reason: 'a test order' });
    await relay.stop();
    await relay.tick();
    expect(transport.data<{ n: number }>().map(({ n }) => n)).toEqual([2]);
    expect(await audit()).toMatchObject([
      { action: 'parked.discard', subject: `main/${ids[0]}`, reason: 'a test order', details: { seq: 1 } },
    ]);
    await expect(discardParked(database, { id: ids[0]! }, { ...me, reason: 'x' })).rejects.toMatchObject({
      code: 'HF_NOT_FOUND',
    });
  });

  it('asks where when one is parked twice', async () => {
    const { ids } = await withParked([{ n: 1 }], new Set([1]));
    await parkDelivery('shipping', ids[0]!);
    const act = { ...me, reason: 'x' };
    await expect(discardParked(database, { id: ids[0]! }, act)).rejects.toThrow(/relay main, consumer shipping/);
    await discardParked(database, { id: ids[0]!, consumer: 'shipping' }, act);
    expect(await listParked(database)).toMatchObject([{ kind: 'relay' }]);
  });
});

describe('an act and its audit row', () => {
  it('commit together or not at all', async () => {
    const { ids } = await withParked([{ n: 1 }], new Set([1]));
    await database.query('ALTER TABLE holdfast.audit ADD CONSTRAINT no_audit CHECK (false) NOT VALID');
    try {
      await expect(discardParked(database, { id: ids[0]! }, { ...me, reason: 'x' })).rejects.toThrow(/no_audit/);
      await expect(retryParked(database, { id: ids[0]! }, me)).rejects.toThrow(/no_audit/);
      await expect(requestReplay(database, { subscription: 'main' }, me)).rejects.toThrow(/no_audit/);
      await expect(dropSubscription(database, 'main', { ...me, reason: 'x', discardParked: true })).rejects.toThrow(
        /held by the relay/,
      );
      await open.splice(0)[0]!.stop();
      await expect(dropSubscription(database, 'main', { ...me, reason: 'x', discardParked: true })).rejects.toThrow(
        /no_audit/,
      );
    } finally {
      await database.query('ALTER TABLE holdfast.audit DROP CONSTRAINT no_audit');
    }
    expect(await listParked(database)).toMatchObject([{ id: ids[0], retryInMs: null }]);
    expect((await relayStatus(database)).replays).toEqual([]);
    expect((await relayStatus(database)).subscriptions).toHaveLength(1);
  });
});

describe('requestReplay', () => {
  it('publishes the range again, under an id that travels', async () => {
    const { relay, transport } = await relayOf();
    await write({ n: 1 }, { n: 2, who: 'you' }, { n: 3 });
    await relay.tick();
    const requested = await requestReplay(
      database,
      { subscription: 'main', fromSeq: 2, topic: 'note.*' },
      { ...me, reason: 'redis died' },
    );
    expect(requested).toMatchObject({ subscription: 'main', fromSeq: 2, toSeq: 3, messages: 2, atLeast: false });
    expect((await relayStatus(database)).replays).toMatchObject([{ id: requested.id, position: 2, topic: 'note.*' }]);
    await relay.stop();
    await relay.tick();
    expect(transport.sent.slice(3).map(({ wire, replayId }) => [numberOf(wire), replayId])).toEqual([
      [2, requested.id],
      [3, requested.id],
    ]);
    expect(await audit()).toMatchObject([{ action: 'outbox.replay', subject: requested.id, reason: 'redis died' }]);
  });

  it('plans without writing, and refuses what fits nothing', async () => {
    await relayOf();
    await write({ n: 1 }, { n: 2, who: 'you' });
    const past = new Date(Date.now() - 60_000);
    expect(await planReplay(database, { subscription: 'main', since: past, key: 'you' })).toMatchObject({
      fromSeq: 2,
      toSeq: 2,
      messages: 1,
    });
    await expect(planReplay(database, { subscription: 'main', until: past })).rejects.toMatchObject({
      code: 'HF_NOT_FOUND',
    });
    await expect(planReplay(database, { subscription: 'mian' })).rejects.toThrow(/Did you mean 'main'/);
    await expect(planReplay(database, { subscription: 'main', fromSeq: -1 })).rejects.toMatchObject({
      code: 'HF_CONFIG',
    });
    expect(await audit()).toEqual([]);
  });
});

describe('dropSubscription', () => {
  it('wants no relay on it, no parked messages unless told, and a reason', async () => {
    const { relay } = await withParked([{ n: 1 }], new Set([1]));
    const act = { ...me, reason: 'replaced' };
    await expect(dropSubscription(database, 'main', act)).rejects.toMatchObject({ code: 'HF_SUBSCRIPTION_HELD' });
    await relay.stop();
    await expect(dropSubscription(database, 'main', act)).rejects.toThrow(/1 parked message/);
    expect(await listParked(database)).toHaveLength(1);
    expect(await dropSubscription(database, 'main', { ...act, discardParked: true })).toMatchObject({
      name: 'main',
      parked: 1,
    });
    expect((await relayStatus(database)).subscriptions).toEqual([]);
    expect(await audit()).toMatchObject([{ action: 'subscription.drop', subject: 'main', reason: 'replaced' }]);
    await expect(dropSubscription(database, 'main', act)).rejects.toMatchObject({ code: 'HF_SUBSCRIPTION_UNKNOWN' });
  });
});
