/** Very many parked keys cost the live log nothing: what is due is found by an index, and only what was touched is looked at again. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { PoolClient } from 'pg';
import { discardParked } from '../../src/operations/parked/interventions.ts';
import { createParkingStore } from '../../src/relay/delivery/parking-store.ts';
import type { PublishOutcome } from '../../src/transport/port.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';

const KEYS = 5_000;
const refused: PublishOutcome = { kind: 'refused', permanent: true, error: new Error('no') };
let lab: RelayLab;
beforeAll(async () => {
  lab = await createRelayLab();
});
beforeEach(() => lab.reset());
afterAll(() => lab.close());

const store = (keepsOrder = true) =>
  createParkingStore({ name: 'main', shard: 0, shards: 1, schema: 'holdfast', keepsOrder });

/** Two messages of each key, the first one failed and to be tried in an hour. */
async function parkMany(): Promise<void> {
  await lab.database.query(
    `INSERT INTO holdfast.parked_message (subscription, seq, id, topic, key, lane, state, reason, next_attempt_at)
     SELECT 'main', g, gen_random_uuid(), 'note', md5((g % ${KEYS})::text), 0, CASE WHEN g <= ${KEYS} THEN 'failed' ELSE 'behind' END, '',
       CASE WHEN g <= ${KEYS} THEN now() + interval '1 hour' END
     FROM generate_series(1, ${2 * KEYS}) AS g`,
  );
}

/** Rows of the table that `work` looks at, wanted or not. */
async function rowsLookedAt(work: (client: PoolClient) => Promise<unknown>): Promise<number> {
  const client = await lab.database.pool.connect();
  const fetched = async () => {
    const { rows } = await client.query<{ fetched: string }>(
      `SELECT idx_tup_fetch + seq_tup_read AS fetched FROM pg_stat_xact_user_tables WHERE schemaname = 'holdfast' AND relname = 'parked_message'`,
    );
    return Number(rows[0]?.fetched);
  };
  try {
    await client.query('BEGIN');
    const before = await fetched();
    await work(client);
    return (await fetched()) - before;
  } finally {
    await client.query('ROLLBACK');
    client.release();
  }
}

it.each([
  ['in order', true],
  ['in any order', false],
])('are not gone through for what is due, %s', async (_, keepsOrder) => {
  await parkMany();
  const looked = await rowsLookedAt(async (client) => {
    expect(await store(keepsOrder).redrivable(client, 200)).toEqual([]);
  });
  expect(looked).toBeLessThan(10);
  await lab.database.query('UPDATE holdfast.parked_message SET next_attempt_at = now() WHERE seq IN (5, 17)');
  const some = await rowsLookedAt(async (client) => {
    const found = await store(keepsOrder).redrivable(client, 200);
    expect(found.map(({ seq }) => seq)).toEqual(keepsOrder ? [5, 17, KEYS + 5, KEYS + 17] : [5, 17]);
    expect(await store().stillBlocked(client, ['nobody'])).toEqual(new Set());
  });
  expect(some).toBeLessThan(50);
});

it('are all known to who takes over', async () => {
  await parkMany();
  await lab.database.query('UPDATE holdfast.parked_message SET lane = 1 WHERE seq % 2 = 0');
  const blocked = await store().blockedKeys(
    await lab.database.pool.connect().then((client) => (client.release(), client)),
  );
  expect(blocked.size).toBe(KEYS);
});

it('what waits behind a message that is taken out goes on, who ever takes it out and when', async () => {
  const { relay, transport } = await lab.relay();
  transport.respond = async (batch) => batch.map(() => refused);
  await lab.write({ n: 1 });
  await relay.tick();
  await lab.write({ n: 2 }, { n: 3 });
  await relay.tick();
  transport.respond = undefined;
  const [first] = (await lab.database.query<{ id: string }>('SELECT id FROM holdfast.parked_message ORDER BY seq'))
    .rows;
  await discardParked(lab.database, { id: first?.id as string }, { actor: 'me', reason: 'not wanted' });
  const due = await lab.database.query(
    'SELECT seq::int, next_attempt_at IS NOT NULL AS due FROM holdfast.parked_message ORDER BY seq',
  );
  expect(due.rows).toEqual([
    { seq: 2, due: true },
    { seq: 3, due: false },
  ]);
  await relay.stop();
  const second = await lab.relay();
  await second.relay.tick();
  expect(lab.numbers(second.transport)).toEqual([2, 3]);
});

it('what is parked behind one that has just been taken out is due at once; what nobody saw, at the next look at all', async () => {
  const { relay } = await lab.relay();
  await relay.tick();
  await lab.write({ n: 1 }, { n: 2 }, { n: 3, who: 'you' });
  const { rows } = await lab.database.query<{ epoch: number }>(
    'SELECT lease_epoch::int AS epoch FROM holdfast.subscription',
  );
  const client = await lab.database.pool.connect();
  const holder = { key: { name: 'main', shard: 0 }, epoch: rows[0]?.epoch ?? 0, writeClient: client };
  try {
    const behind = { state: 'behind', reason: '', error: null, attempts: 0, retryInMs: null } as const;
    await store().park(
      holder,
      [1, 2, 3].map((seq) => ({ ...behind, seq })),
    );
    expect((await store().redrivable(client, 100)).map(({ seq }) => seq)).toEqual([1, 2, 3]);
    await store().unpark(holder, [1]);
    expect((await store().redrivable(client, 100)).map(({ seq }) => seq)).toEqual([2, 3]);
    await client.query('UPDATE holdfast.parked_message SET next_attempt_at = NULL');
    expect(await store().redrivable(client, 100)).toEqual([]);
    await store().releaseOrphans(client);
    expect((await store().redrivable(client, 100)).map(({ seq }) => seq)).toEqual([2, 3]);
  } finally {
    client.release();
  }
});
