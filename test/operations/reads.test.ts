/** What operations show is what is there. */
import { describe, expect, it } from 'vitest';
import { listMessages, showMessage } from '../../src/operations/reads/messages.ts';
import { fadedRate, relayStatus } from '../../src/operations/relay/relay-status.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { NOBODY, Note, useLab } from './lab.ts';

const lab = useLab();

describe('relayStatus', () => {
  it('of an empty database is empty', async () => {
    expect(await relayStatus(lab.database)).toEqual({
      schema: 'holdfast',
      log: { newestSeq: null, oldestSeq: null, oldestAgeMs: null },
      subscriptions: [],
      scheduled: { count: 0, nextInMs: null },
      consumers: [],
      replays: [],
    });
  });

  it('shows lag, lease and totals', async () => {
    const { relay } = await lab.relayOf();
    await lab.write({ n: 1 }, { n: 2 }, { n: 3 });
    const before = (await relayStatus(lab.database)).subscriptions[0]!;
    expect(before).toMatchObject({ name: 'main', shard: 0, live: false, lease: null, behind: 3, published: 0 });
    expect(before.oldestUnpublishedAgeMs).toBeGreaterThan(0);
    await relay.tick();
    await relay.stop();
    const after = (await relayStatus(lab.database)).subscriptions[0]!;
    expect(after).toMatchObject({ behind: 0, oldestUnpublishedAgeMs: null, published: 3, lease: null, trouble: null });
    expect(after.retentionMs).toBe(7 * 86_400_000);
  });

  it('shows who holds a lease, and when it has run out', async () => {
    const { relay } = await lab.relayOf();
    await relay.tick();
    const held = (await relayStatus(lab.database)).subscriptions[0]!;
    expect(held).toMatchObject({ live: true, lease: { owner: 'relay-1', epoch: 1 } });
    await lab.database.query(`UPDATE holdfast.subscription SET lease_until = now() - interval '1 hour'`);
    expect((await relayStatus(lab.database)).subscriptions[0]).toMatchObject({
      live: false,
      lease: { owner: 'relay-1', remainingMs: 0 },
    });
  });

  it('counts what is parked, scheduled, and parked by consumers', async () => {
    await lab.withParked([{ n: 1 }, { n: 2 }, { n: 3, who: 'you' }], new Set([1]));
    const [id] = await lab.write({ n: 9, who: 'us' });
    await lab.parkDelivery('shipping', id!);
    await lab.database.transaction((tx) => lab.outbox.send(tx, Note, { n: 10 }, { delay: '1h' }));
    const status = await relayStatus(lab.database);
    expect(status.subscriptions[0]?.parked).toEqual({ failed: 0, behind: 1, dead: 1 });
    expect(status.consumers).toMatchObject([{ consumer: 'shipping', failed: 0, behind: 0, dead: 1 }]);
    expect(status.scheduled.count).toBe(1);
    expect(status.scheduled.nextInMs).toBeGreaterThan(3_500_000);
  });

  it('leaves out what consumers keep for a role that may not see it', async () => {
    await lab.parkDelivery('shipping', NOBODY);
    const role = `reader_${Date.now()}`;
    const client = await lab.database.pool.connect();
    try {
      await client.query(`CREATE ROLE ${role}; GRANT USAGE ON SCHEMA holdfast TO ${role};
        GRANT SELECT ON holdfast.outbox, holdfast.subscription, holdfast.scheduled_message, holdfast.parked_message, holdfast.replay TO ${role}`);
      const url = new URL(lab.url);
      url.searchParams.set('options', `-c role=${role}`);
      const asReader = openDatabase({ url: url.href });
      expect((await relayStatus(asReader)).consumers).toEqual([]);
      await asReader.close();
      expect((await relayStatus(lab.database)).consumers).toHaveLength(1);
    } finally {
      await client.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
      client.release();
    }
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
    await lab.write({ n: 1 }, { n: 2, who: 'you' }, { n: 3 });
    const seqs = async (filter: Parameters<typeof listMessages>[1]) =>
      (await listMessages(lab.database, filter)).map(({ seq }) => seq);
    expect(await seqs({})).toEqual([3, 2, 1]);
    expect(await seqs({ limit: 2 })).toEqual([3, 2]);
    expect(await seqs({ beforeSeq: 2 })).toEqual([1]);
    expect(await seqs({ afterSeq: 1 })).toEqual([2, 3]);
    expect(await seqs({ key: 'you' })).toEqual([2]);
    expect(await seqs({ topic: 'note.*' })).toEqual([3, 2, 1]);
    expect(await seqs({ topic: 'order.*' })).toEqual([]);
    await expect(listMessages(lab.database, { limit: 0 })).rejects.toThrow(/1 to 1000/);
    await expect(listMessages(lab.database, { topics: 'x' } as never)).rejects.toThrow(/Did you mean "topic"/);
  });

  it('finds by time whatever gaps the log has', async () => {
    for (let n = 1; n <= 40; n += 1) await lab.write({ n });
    await lab.database.query(`DELETE FROM holdfast.outbox WHERE seq % 3 = 0`);
    // One message a minute, the last an hour ago.
    await lab.database.query(
      `UPDATE holdfast.outbox SET created_at = now() - interval '1 hour' - (40 - seq) * interval '1 minute'`,
    );
    const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000);
    for (const [from, to] of [
      [100, 60],
      [75.5, 70.5],
      [500, 200],
      [10, 0],
      [81.5, 60.5],
    ] as const) {
      const [since, until] = [minutesAgo(from), minutesAgo(to)];
      const expected = (
        await lab.database.query<{ seq: string }>(
          `SELECT seq FROM holdfast.outbox WHERE created_at >= $1 AND created_at < $2 ORDER BY seq DESC`,
          [since, until],
        )
      ).rows.map(({ seq }) => Number(seq));
      const found = await listMessages(lab.database, { since, until });
      expect(found.map(({ seq }) => seq)).toEqual(expected);
    }
  });

  it('shows a message with its envelope and who is past it', async () => {
    const { relay } = await lab.relayOf();
    const [id] = await lab.write({ n: 1 });
    expect(await showMessage(lab.database, id!)).toMatchObject({
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
    await lab.database.query(
      `INSERT INTO holdfast.inbox (consumer, message_id) VALUES ('billing', $1), ('shipping', $2)`,
      [id, NOBODY],
    );
    const shown = await showMessage(lab.database, id!);
    expect(shown).toMatchObject({
      subscriptions: [{ state: 'passed' }],
      consumers: [{ consumer: 'billing', state: 'handled' }],
    });
  });

  it('says that a late committer is still waiting although the cursor is further on', async () => {
    const { relay } = await lab.relayOf();
    const early = await lab.database.pool.connect();
    await early.query('BEGIN');
    const { id } = await lab.outbox.send(early, Note, { n: 1 });
    await lab.write({ n: 2 });
    await relay.tick();
    await relay.stop();
    await early.query('COMMIT');
    early.release();
    expect(await showMessage(lab.database, id)).toMatchObject({ subscriptions: [{ state: 'waiting' }] });
  });

  it('knows scheduled ones, and says when there is none', async () => {
    const { id } = await lab.database.transaction((tx) => lab.outbox.send(tx, Note, { n: 1 }, { delay: '1h' }));
    expect(await showMessage(lab.database, id)).toMatchObject({ scheduled: { id, topic: 'note.taken' } });
    await expect(showMessage(lab.database, NOBODY)).rejects.toMatchObject({ code: 'HF_NOT_FOUND' });
    await expect(showMessage(lab.database, '17')).rejects.toMatchObject({ code: 'HF_CONFIG' });
  });
});
