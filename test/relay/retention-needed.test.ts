/**
 * What retention must leave in the log, at its edges: what one subscription, one shard, one snapshot, a parked message or a replay still
 * needs, although all others are past it. On PostgreSQL.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { PRUNE_CHUNK, pruneChunk, pruneRecords } from '../../src/relay/maintenance/pruner.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';

let lab: RelayLab;
beforeAll(async () => {
  lab = await createRelayLab();
});
afterEach(() => lab.reset());
afterAll(() => lab.close());

const query = (sql: string, parameters: readonly unknown[] = []) => lab.database.query(sql, [...parameters]);

/** Messages that are so old, in days; the first one has seq 1. */
async function fill(...ages: number[]): Promise<void> {
  await query(
    `INSERT INTO holdfast.outbox (xid, id, topic, lane, payload, headers, created_at)
     SELECT pg_current_xact_id(), gen_random_uuid(), 'note', 0, '{}', '{}', now() - age * interval '1 day'
     FROM unnest($1::float8[]) WITH ORDINALITY AS a (age, n) ORDER BY n`,
    [ages],
  );
}

/** Where a shard of a subscription stands; unless something else is said, it has seen all transactions that are there. */
async function stands(
  name: string,
  high: number,
  {
    shard = 0,
    days = 7,
    snapshot,
    floor = 0,
  }: { shard?: number; days?: number; snapshot?: string; floor?: number } = {},
): Promise<void> {
  await query(
    `INSERT INTO holdfast.subscription (name, shard, shards, snapshot, high, floor, system_identifier, retention)
     VALUES ($1, $2, 2, coalesce($3::text::pg_snapshot, pg_current_snapshot()), $4, $5, 1, $6::int * interval '1 day')`,
    [name, shard, snapshot ?? null, high, floor, days],
  );
}

async function left(): Promise<readonly number[]> {
  const { rows } = await query('SELECT seq::int AS seq FROM holdfast.outbox ORDER BY seq');
  return rows.map((row) => row['seq'] as number);
}

const park = (subscription: string, ...seqs: number[]) =>
  query(
    `INSERT INTO holdfast.parked_message (subscription, seq, id, topic, lane, state, reason)
     SELECT $1, seq, id, topic, lane, 'failed', '' FROM holdfast.outbox WHERE seq = ANY ($2::bigint[])`,
    [subscription, seqs],
  );

describe('what one of several has still to read stays', () => {
  it('a subscription, by its place', async () => {
    await fill(8, 8, 8, 8);
    await stands('fast', 4);
    await stands('slow', 2);
    expect(await pruneChunk(lab.database, 0)).toEqual({ deleted: 2, reached: 2, more: false, elsewhere: false });
    expect(await left()).toEqual([3, 4]);
  });

  it('a shard of a subscription, by its place', async () => {
    await fill(8, 8, 8, 8);
    await stands('main', 4);
    await stands('main', 1, { shard: 1 });
    await pruneChunk(lab.database, 0);
    expect(await left()).toEqual([2, 3, 4]);
  });

  it('a subscription that has nothing yet', async () => {
    await fill(8);
    await stands('fast', 1);
    await stands('new', 0);
    await pruneChunk(lab.database, 0);
    expect(await left()).toEqual([1]);
  });

  it('one that reads by small pages: all that it has not come to', async () => {
    const fast = await lab.relay({ name: 'fast' }, { owner: 'one' });
    const slow = await lab.relay({ name: 'slow', batchSize: 2 }, { owner: 'two' });
    await lab.write(...[1, 2, 3, 4, 5].map((n) => ({ n })));
    const highs = async (): Promise<string> =>
      (await query('SELECT name, high::int FROM holdfast.subscription ORDER BY name')).rows
        .map((row) => `${String(row['name'])} ${String(row['high'])}`)
        .join();
    await fast.relay.tick();
    await slow.relay.tick();
    await lab.until(async () => (await highs()) === 'fast 5,slow 2');
    await query(`UPDATE holdfast.outbox SET created_at = now() - interval '8 days'`);
    expect(await fast.relay.prune()).toBe(2);
    for (let page = 0; page < 3; page += 1) await slow.relay.tick();
    expect(lab.numbers(slow.transport)).toEqual([1, 2, 3, 4, 5]);
  });

  it.each(['fast', 'slow'])('a late transaction that only %s has not seen', async (which) => {
    const late = await lab.database.pool.connect();
    await late.query('BEGIN');
    await lab.send(late, { n: 1 });
    const before = String((await query('SELECT pg_current_snapshot()::text AS s')).rows[0]?.['s']);
    await late.query('COMMIT');
    late.release();
    await fill(8);
    await query(`UPDATE holdfast.outbox SET created_at = now() - interval '8 days'`);
    const snapshotOf = (name: string) => (name === which ? { snapshot: before } : {});
    await stands('fast', 2, snapshotOf('fast'));
    await stands('slow', 2, snapshotOf('slow'));
    await pruneChunk(lab.database, 0);
    // The second one began after that snapshot, too.
    expect(await left()).toEqual([1, 2]);
    await query('UPDATE holdfast.subscription SET snapshot = pg_current_snapshot()');
    await pruneChunk(lab.database, 0);
    expect(await left()).toEqual([]);
  });

  it('but nothing is kept for a snapshot of another cluster, up to the floor', async () => {
    await fill(8, 8);
    await stands('main', 2, { snapshot: '1:1:', floor: 1 });
    await pruneChunk(lab.database, 0);
    expect(await left()).toEqual([2]);
  });
});

describe('what is kept longer stays', () => {
  it('for the longest retention of all', async () => {
    await fill(31, 29, 8, 1);
    await stands('brief', 4, { days: 7 });
    await stands('long', 4, { days: 30 });
    await stands('other', 4, { days: 14 });
    expect(await pruneChunk(lab.database, 0)).toMatchObject({ deleted: 1, reached: 1 });
    expect(await left()).toEqual([2, 3, 4]);
  });

  it('when it is young behind what is old, and old behind what is young', async () => {
    await fill(8, 1, 8);
    await stands('main', 3);
    expect(await pruneChunk(lab.database, 0)).toEqual({ deleted: 2, reached: 1, more: false, elsewhere: false });
    expect(await left()).toEqual([2]);
  });

  it('parked by whichever subscription: the first and the last of a chunk', async () => {
    await fill(8, 8, 8, 8);
    await stands('main', 4);
    await stands('other', 4);
    await park('main', 1);
    await park('other', 4);
    await pruneChunk(lab.database, 0);
    expect(await left()).toEqual([1, 4]);
  });

  it('from where a replay stands up to its end, both included', async () => {
    await fill(8, 8, 8, 8, 8);
    await stands('main', 5);
    await query(
      `INSERT INTO holdfast.replay (id, subscription, position, from_seq, to_seq, finished_at)
       VALUES ($1, 'main', 2, 1, 4, NULL), ($2, 'main', 5, 1, 5, now())`,
      [randomUUID(), randomUUID()],
    );
    await pruneChunk(lab.database, 0);
    expect(await left()).toEqual([2, 3, 4]);
  });

  it('behind a full chunk: it says that there is more, and where to go on', async () => {
    await fill(...Array.from({ length: PRUNE_CHUNK + 1 }, () => 8));
    await stands('main', PRUNE_CHUNK + 1);
    const first = await pruneChunk(lab.database, 0);
    expect(first).toEqual({ deleted: PRUNE_CHUNK, reached: PRUNE_CHUNK, more: true, elsewhere: false });
    expect(await left()).toEqual([PRUNE_CHUNK + 1]);
    expect(await pruneChunk(lab.database, first.reached)).toMatchObject({ deleted: 1, more: false });
  });
});

describe('what a relay remembers beside the log', () => {
  it('the head of a key stays for the longest retention of its own subscription', async () => {
    await stands('brief', 0, { days: 7 });
    await stands('long', 0, { days: 7 });
    await stands('long', 0, { shard: 1, days: 30 });
    const head = (subscription: string, key: string, days: number) =>
      query(
        `INSERT INTO holdfast.key_head (subscription, destination, key, message_id, published_at)
         VALUES ($1, 'all', $2, gen_random_uuid(), now() - $3::int * interval '1 day')`,
        [subscription, key, days],
      );
    for (const name of ['brief', 'long']) for (const days of [6, 8, 29, 31]) await head(name, `of ${days}`, days);
    await pruneRecords(lab.database);
    const { rows } = await query(`SELECT subscription, key FROM holdfast.key_head ORDER BY 1, published_at DESC`);
    expect(rows.map((row) => `${String(row['subscription'])} ${String(row['key'])}`)).toEqual([
      'brief of 6',
      'long of 6',
      'long of 8',
      'long of 29',
    ]);
  });

  it('a replay stays for ninety days after its end, and as long as it has none', async () => {
    await query(
      `INSERT INTO holdfast.replay (id, subscription, position, from_seq, to_seq, finished_at)
       SELECT gen_random_uuid(), 'main', seq, seq, seq, CASE WHEN seq < 3 THEN now() - seq * interval '60 days' END FROM generate_series(1, 3) AS seq`,
    );
    await pruneRecords(lab.database);
    const { rows } = await query('SELECT from_seq::int AS n FROM holdfast.replay ORDER BY 1');
    expect(rows.map((row) => row['n'])).toEqual([1, 3]);
  });
});
