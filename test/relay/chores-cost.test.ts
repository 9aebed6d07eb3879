/** What the relay's work beside the live log costs the database: it must not grow with what waits there. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { PoolClient } from 'pg';
import { createParkingStore } from '../../src/relay/delivery/parking-store.ts';
import { pruneChunk } from '../../src/relay/maintenance/pruner.ts';
import { insertReplay } from '../../src/relay/delivery/replay-store.ts';
import { createScheduler } from '../../src/relay/maintenance/scheduler.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';

const ROWS = 20_000;
let lab: RelayLab;
beforeAll(async () => {
  lab = await createRelayLab();
});
beforeEach(() => lab.reset());
afterAll(() => lab.close());

/** Rows of a table that `work` looks at, wanted or not, in a transaction that is compensated. */
async function rowsLookedAt(table: string, work: (client: PoolClient) => Promise<unknown>): Promise<number> {
  const fetched = async (client: PoolClient) => {
    const { rows } = await client.query<{ fetched: string }>(
      `SELECT idx_tup_fetch + seq_tup_read AS fetched FROM pg_stat_xact_user_tables WHERE schemaname = 'holdfast' AND relname = $1`,
      [table],
    );
    return Number(rows[0]?.fetched);
  };
  const client = await lab.database.pool.connect();
  try {
    await client.query('BEGIN');
    const before = await fetched(client);
    await work(client);
    return (await fetched(client)) - before;
  } finally {
    await client.query('ROLLBACK');
    client.release();
  }
}

/** A database whose statements all run on this client. */
const on = (client: PoolClient) => ({
  ...lab.database,
  transaction: (async (work) => work(client)) as typeof lab.database.transaction,
});

const fillLog = () =>
  lab.database.query(
    `INSERT INTO holdfast.outbox (xid, id, topic, key, lane, payload, headers, created_at)
     SELECT pg_current_xact_id(), gen_random_uuid(), 'note', 'hot', 0, '{}', '{}', now() - interval '1 year' FROM generate_series(1, ${ROWS})`,
  );

it('a key with very many messages waiting is not gone through to see whether it may go on, nor is all of it when it may', async () => {
  await fillLog();
  await lab.database.query(
    `INSERT INTO holdfast.parked_message (subscription, seq, id, topic, key, lane, state, reason)
     SELECT 'main', seq, id, topic, key, lane, CASE seq WHEN 1 THEN 'failed' ELSE 'behind' END, '' FROM holdfast.outbox`,
  );
  const parking = createParkingStore({ name: 'main', shard: 0, shards: 1, schema: 'holdfast', keepsOrder: true });
  const looking = (expected: number) => async (client: PoolClient) => {
    expect(await parking.redrivable(client, 100)).toHaveLength(expected);
    expect(await parking.blockedKeys(client)).toEqual(new Set(['hot']));
  };
  expect(await rowsLookedAt('parked_message', looking(0))).toBeLessThan(20);
  await lab.database.query(`UPDATE holdfast.parked_message SET next_attempt_at = now() WHERE state = 'failed'`);
  expect(await rowsLookedAt('parked_message', looking(100))).toBeLessThan(500);
});

it('what is scheduled for later is not gone through to find what is due', async () => {
  await lab.database.query(
    `INSERT INTO holdfast.scheduled_message (id, due_at, topic, payload, headers)
     SELECT gen_random_uuid(), now() + g * interval '1 minute', 'note', '{}', '{}' FROM generate_series(1, ${ROWS}) AS g`,
  );
  const looking = (client: PoolClient) => createScheduler(on(client)).moveDue();
  expect(await rowsLookedAt('scheduled_message', looking)).toBeLessThan(20);
});

it('what is not delivered yet is not gone through to find what is old enough to go', async () => {
  await fillLog();
  await lab.database.query(
    `INSERT INTO holdfast.subscription (name, snapshot, high, system_identifier, retention) VALUES ('main', pg_current_snapshot(), 10, 1, '1 day')`,
  );
  const looking = async (client: PoolClient) =>
    expect(await pruneChunk(on(client), 0)).toEqual({ deleted: 10, reached: 10, more: false, elsewhere: false });
  expect(await rowsLookedAt('outbox', looking)).toBeLessThan(100);
});

it('of what is delivered and young only the first is looked at, and of what is parked only what stands among the rows that may go', async () => {
  await fillLog();
  await lab.database.query(
    `INSERT INTO holdfast.subscription (name, snapshot, high, system_identifier, retention) VALUES ('main', pg_current_snapshot(), ${ROWS}, 1, '10 years');
     INSERT INTO holdfast.parked_message (subscription, seq, id, topic, key, lane, state, reason)
     SELECT 'main', seq, id, topic, key, lane, 'failed', '' FROM holdfast.outbox WHERE seq > 5000;
     ANALYZE holdfast.outbox, holdfast.parked_message`,
  );
  const looking = async (client: PoolClient) =>
    expect(await pruneChunk(on(client), 0)).toEqual({ deleted: 0, reached: 0, more: false, elsewhere: false });
  expect(await rowsLookedAt('outbox', looking)).toBeLessThan(10);
  await lab.database.query(`UPDATE holdfast.subscription SET retention = '1 day'`);
  const pruning = async (client: PoolClient) =>
    expect(await pruneChunk(on(client), 0)).toMatchObject({ deleted: 5_000, more: true });
  expect(await rowsLookedAt('parked_message', pruning)).toBeLessThan(100);
});

it('a replay of a rare key goes through the log in bounded steps, to the end', async () => {
  await fillLog();
  const { relay, transport } = await lab.relay({ from: 'now' });
  await lab.write({ n: 1, who: 'rare' });
  await relay.tick();
  await lab.database.transaction((client) =>
    insertReplay(client, 'holdfast', {
      id: randomUUID(),
      subscription: 'main',
      fromSeq: 1,
      toSeq: ROWS + 1,
      topic: null,
      key: 'rare',
    }),
  );
  await relay.stop();
  transport.sent.length = 0;
  const second = await lab.relay({}, {}, transport);
  const progress = async () =>
    (await lab.database.query('SELECT position::int, finished_at IS NOT NULL AS finished FROM holdfast.replay'))
      .rows[0];
  await second.relay.tick();
  expect(await progress()).toEqual({ position: 5_001, finished: false });
  for (let round = 0; round < 5; round += 1) await second.relay.tick();
  expect(await progress()).toMatchObject({ finished: true });
  expect(lab.numbers(transport)).toEqual([1]);
});
