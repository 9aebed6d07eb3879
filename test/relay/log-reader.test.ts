/**
 * The traps that make a reader of a growing table lose rows silently. Each of these was seen to fail with its guard taken out of
 * src/relay/log/log-reader.ts or src/relay/subscription/shard-rows.ts.
 */
import { randomBytes } from 'node:crypto';
import type { PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { parseSnapshot } from '../../src/relay/log/cursor.ts';
import { createLogReader } from '../../src/relay/log/log-reader.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';

let lab: RelayLab;
beforeAll(async () => {
  lab = await createRelayLab();
});
beforeEach(() => lab.reset());
afterAll(() => lab.close());

/** Opens a transaction that has its xid already. */
async function begin(): Promise<PoolClient> {
  const client = await lab.database.pool.connect();
  await client.query('BEGIN');
  await client.query('SELECT pg_current_xact_id()');
  return client;
}

async function commit(client: PoolClient): Promise<void> {
  await client.query('COMMIT');
  client.release();
}

describe('late committers', () => {
  it('finds a row whose transaction was in progress when a later seq was delivered', async () => {
    const { relay, transport } = await lab.relay();
    const late = await begin();
    await lab.send(late, { n: 1 });
    await lab.write({ n: 2 });
    await relay.tick();
    await commit(late);
    await relay.tick();
    expect(lab.numbers(transport)).toEqual([2, 1]);
  });

  it('finds a row whose transaction was at or above the snapshot xmax, and so in no list', async () => {
    const client = await lab.database.dedicatedConnection({ onLost: () => {} });
    const reader = createLogReader(client, lab.database.schema, { topics: undefined, shard: 0, shards: 1 });
    // The snapshot must be taken before anything newer completes anywhere in the cluster; other tests are at work in it.
    for (let attempt = 1; ; attempt += 1) {
      expect(attempt, 'the scene could not be set').toBeLessThan(100);
      await lab.reset();
      const start = (await reader.read({ snapshot: '1:1:', high: 0, catchup: null, floor: 0 }, 100)).next;
      // The older xid commits what was drawn last, the newer one stays open: the snapshot then ends below the newer xid.
      const older = await begin();
      const newer = await begin();
      const newerXid = BigInt((await newer.query('SELECT pg_current_xact_id()::text AS xid')).rows[0].xid);
      await lab.send(newer, { n: 1 });
      await lab.send(older, { n: 2 });
      await older.query('COMMIT');
      const page = await reader.read(start, 100);
      older.release();
      await commit(newer);
      if (parseSnapshot(page.next.snapshot).xmax > newerXid) continue;
      expect(page.entries.map((entry) => entry.seq)).toEqual([2]);
      expect((await reader.read(page.next, 100)).entries.map((entry) => entry.seq)).toEqual([1]);
      break;
    }
    await client.end();
  });

  it('finds the rows of a prepared transaction when it is committed', async () => {
    const { relay, transport } = await lab.relay();
    const client = await lab.database.pool.connect();
    await client.query(`BEGIN; SET LOCAL holdfast.wake = 'off'`);
    await lab.send(client, { n: 1 });
    await client.query(`PREPARE TRANSACTION 'late'`);
    await lab.write({ n: 2 });
    await relay.tick();
    await client.query(`COMMIT PREPARED 'late'`);
    client.release();
    await relay.tick();
    expect(lab.numbers(transport)).toEqual([2, 1]);
  });

  it('keeps what followed from a late row behind it', async () => {
    const { relay, transport } = await lab.relay();
    const late = await begin();
    await lab.send(late, { n: 1 });
    await lab.write({ n: 2 });
    await relay.tick();
    await commit(late);
    await lab.write({ n: 3 });
    await relay.tick();
    expect(lab.numbers(transport)).toEqual([2, 1, 3]);
  });

  it('reads a late transaction longer than a page in pages, each row once, also across a restart', async () => {
    const bulk = await begin();
    for (let n = 1; n <= 35; n += 1) await lab.send(bulk, { n });
    await lab.write({ n: 36 });
    const first = await lab.relay({ batchSize: 10 });
    await first.relay.tick();
    expect(lab.numbers(first.transport)).toEqual([36]);
    await commit(bulk);
    await lab.write({ n: 37 });
    await first.relay.tick();
    await first.relay.tick();
    await first.relay.stop();
    expect(lab.numbers(first.transport)).toHaveLength(21);
    const second = await lab.relay({ batchSize: 10 });
    for (let round = 0; round < 6; round += 1) await second.relay.tick();
    const all = [...lab.numbers(first.transport), ...lab.numbers(second.transport)];
    expect(all).toEqual([36, ...Array.from({ length: 35 }, (_, index) => index + 1), 37]);
  });
});

describe('another cluster', () => {
  it('re-reads by position, losing nothing and repeating nothing for ever', async () => {
    const { relay, transport } = await lab.relay();
    const late = await begin();
    await lab.send(late, { n: 1 });
    await lab.write({ n: 2 });
    await relay.tick();
    await relay.stop();
    await commit(late);
    // As after a logical restore: the rows and the cursor bear xids of a cluster that was much further on.
    await lab.database.query(`UPDATE holdfast.outbox SET xid = (xid::text::bigint + 1000000)::text::xid8`);
    // The snapshot of that cluster: it shows the transaction of 2, and has that of 1 in progress.
    await lab.database.query(`UPDATE holdfast.subscription SET system_identifier = 1, snapshot = (
         SELECT (x[1] || ':' || x[2] + 1 || ':' || x[1])::pg_snapshot
         FROM (SELECT array_agg(xid::text::bigint ORDER BY xid) AS x FROM holdfast.outbox) AS xids)`);
    const after = await lab.relay({ failoverReplay: 'never' });
    await after.relay.tick();
    expect(lab.numbers(after.transport)).toContain(1);
    await lab.write({ n: 3 });
    const before = after.transport.sent.length;
    await after.relay.tick();
    await after.relay.tick();
    expect(lab.numbers(after.transport).slice(before)).toEqual([3]);
    expect(lab.numbers(transport)).toEqual([2]);
  });
});

describe('what a page costs and holds', () => {
  it('passes over other topics in bounded steps', async () => {
    const { relay, transport } = await lab.relay({ batchSize: 5, routes: [{ topics: 'other.*', to: 'x' }] });
    await lab.write(...Array.from({ length: 12 }, (_, n) => ({ n })));
    await lab.writeOther({ n: 99 });
    await relay.tick();
    expect(transport.sent).toHaveLength(0);
    await relay.tick();
    await relay.tick();
    expect(lab.numbers(transport)).toEqual([99]);
  });

  it('closes a page that grows too large, late committers and all, and leaves nothing out', async () => {
    const client = await lab.database.dedicatedConnection({ onLost: () => {} });
    onTestFinished(() => client.end());
    const reader = createLogReader(client, lab.database.schema, { topics: undefined, shard: 0, shards: 1 });
    let cursor = (await reader.read({ snapshot: '1:1:', high: 0, catchup: null, floor: 0 }, 100)).next;
    // Random, so that compression does not make it small: about 1 MB each.
    const large = () => randomBytes(500_000).toString('hex');
    const late = await begin();
    for (let n = 1; n <= 12; n += 1) await lab.send(late, { n, who: 'a', text: large() });
    for (let n = 13; n <= 24; n += 1) await lab.write({ n, who: 'b', text: large() });
    const pages: number[] = [];
    const seqs: number[] = [];
    const drain = async () => {
      for (let more = true; more;) {
        const page = await reader.read(cursor, 100);
        ({ next: cursor, more } = page);
        pages.push(page.entries.length);
        seqs.push(...page.entries.map((entry) => entry.seq));
      }
    };
    await drain();
    await commit(late);
    await drain();
    expect(seqs).toEqual([
      ...Array.from({ length: 12 }, (_, n) => n + 13),
      ...Array.from({ length: 12 }, (_, n) => n + 1),
    ]);
    expect(Math.max(...pages)).toBeLessThan(12);
  });

  it('gives the wire of exactly what was sent', async () => {
    const { relay, transport } = await lab.relay();
    await lab.write({ n: 7, who: 'ada' });
    await relay.tick();
    const wire = JSON.parse(transport.sent[0]?.wire ?? '{}') as Record<string, unknown>;
    expect(wire).toMatchObject({
      specversion: '1.0',
      type: 'note.taken',
      subject: 'ada',
      data: { n: 7, who: 'ada' },
      source: 'holdfast',
      schemaversion: 1,
    });
    expect(new Date(String(wire['time'])).getTime()).not.toBeNaN();
    expect(transport.sent[0]).toMatchObject({ destination: 'all', key: 'ada', topic: 'note.taken', replayId: null });
  });
});
