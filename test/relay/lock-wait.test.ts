/**
 * No lock of ours is waited for longer than a moment, for everybody else waits behind a request that waits; and who holds it is
 * named. A number that can be guessed is no lock.
 */
import type { PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/errors.ts';
import { retryParked } from '../../src/operations/parked/interventions.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { migrate } from '../../src/postgres/migrator.ts';
import { createScheduler } from '../../src/relay/maintenance/scheduler.ts';
import { createSubscriptionStore } from '../../src/relay/subscription/subscription-store.ts';
import { type Logger, silentLogger } from '../../src/runtime/log.ts';
import { eventually } from '../support/eventually.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';
import { createTestDatabase } from '../support/servers.ts';

let lab: RelayLab;
beforeAll(async () => {
  lab = await createRelayLab();
});
beforeEach(() => lab.reset());
afterAll(() => lab.close());

/** A transaction that somebody forgot, named so in pg_stat_activity, while `work` runs. */
async function forgotten(statement: string, work: (client: PoolClient) => Promise<void>): Promise<void> {
  const client = await lab.database.pool.connect();
  try {
    await client.query(`BEGIN; SET LOCAL application_name = 'lunch break'`);
    await client.query(statement);
    // What is younger than our patience cannot be what was waited for.
    await client.query('SELECT pg_sleep(1.1)');
    await work(client);
  } finally {
    await client.query('ROLLBACK');
    client.release();
  }
}

const lockWait = {
  code: 'HF_LOCK_WAIT',
  message: expect.stringMatching(/\d+ \(lunch break, idle in transaction for \d+ s\)/) as unknown,
};
const due = `INSERT INTO holdfast.scheduled_message (id, due_at, topic, payload, headers)
  VALUES (gen_random_uuid(), now(), 'note', '{}', '{}')`;

describe('after a move to another cluster', () => {
  it('one forgotten transaction that has sent keeps no sender waiting, and is named', async () => {
    const { relay } = await lab.relay();
    await lab.write({ n: 1 });
    await relay.tick();
    await relay.stop();
    await lab.database.query('UPDATE holdfast.subscription SET system_identifier = 1');
    await forgotten(`SELECT holdfast.send('note', '{}')`, async (client) => {
      const acquire = createSubscriptionStore(lab.database).acquire(
        { name: 'main', shard: 0 },
        { owner: 'me', leaseMs: 5_000 },
      );
      const refused = acquire.catch((error: unknown) => error);
      await lab.write({ n: 2 });
      expect(await refused).toMatchObject(lockWait);
      await lab.write({ n: 3 });
      await client.query('COMMIT');
    });
    const second = await lab.relay();
    await second.relay.tick();
    await second.relay.tick();
    // What was published before may come again: a move promises no less.
    expect(lab.numbers(second.transport)).toEqual(expect.arrayContaining([undefined, 2, 3]));
  });
});

describe('a relay', () => {
  it('says who keeps the row of its subscription, when it starts and when it goes on', async () => {
    const { relay } = await lab.relay();
    await forgotten('SELECT 1 FROM holdfast.subscription FOR UPDATE', async () => {
      await expect(relay.prepare()).rejects.toMatchObject(lockWait);
      await expect(relay.tick()).rejects.toMatchObject(lockWait);
    });
    await relay.tick();
  });

  it('starts when the row of its subscription is free, and says that it waits', async () => {
    const said: string[] = [];
    const log: Logger = { ...silentLogger, warn: (_fields, text) => void said.push(text), child: () => log };
    const { relay } = await lab.relay({}, { log });
    await forgotten('SELECT 1 FROM holdfast.subscription FOR UPDATE', async (client) => {
      const starting = relay.prepare();
      await eventually('the start to have asked in vain', async () => said.includes('the start waits for a lock'));
      await client.query('COMMIT');
      await starting;
    });
    await relay.tick();
  });

  it('says who keeps the log from being read', async () => {
    const { relay } = await lab.relay();
    await relay.tick();
    await forgotten('LOCK TABLE holdfast.outbox', async () => {
      await expect(relay.tick()).rejects.toMatchObject(lockWait);
    });
    await relay.tick();
  });

  it('prunes no longer than a moment', async () => {
    const { relay } = await lab.relay();
    await lab.write({ n: 1 });
    await relay.tick();
    await relay.stop();
    await lab.database.query(
      `UPDATE holdfast.subscription SET retention = '0'; UPDATE holdfast.outbox SET created_at = now() - interval '1 day'`,
    );
    await forgotten('SELECT 1 FROM holdfast.outbox FOR UPDATE', async () => {
      await expect(relay.prune()).rejects.toMatchObject(lockWait);
    });
    expect(await relay.prune()).toBe(1);
  });

  it('starts and moves what is due although somebody holds any number as an advisory lock', async () => {
    await lab.database.query(due);
    await forgotten(
      `SELECT pg_advisory_lock(hashtextextended(name, 0)) FROM unnest(ARRAY['holdfast/scheduler', 'holdfast/subscription/main']) AS name`,
      async (client) => {
        const { relay, transport } = await lab.relay();
        await relay.tick();
        expect(transport.sent).toHaveLength(1);
        await client.query('SELECT pg_advisory_unlock_all()');
      },
    );
  });

  it('that is new twice at once is one, in the number of parts that came last', async () => {
    const store = createSubscriptionStore(lab.database);
    // On a busy machine the last of five may wait longer than a moment, and asks again, as whoever starts a relay does.
    const ensure = async (shards: number): Promise<void> => {
      try {
        await store.ensure('new', { shards, from: 'beginning', retentionMs: 1_000 });
      } catch (error) {
        if (!(error instanceof HoldfastError) || error.code !== 'HF_LOCK_WAIT') throw error;
        await ensure(shards);
      }
    };
    await Promise.all([ensure(1), ensure(2), ensure(1), ensure(2), ensure(3)]);
    const { rows } = await lab.database.query<{ shards: number }>('SELECT shards FROM holdfast.subscription');
    expect(rows).toHaveLength(rows[0]?.shards ?? 0);
    expect(new Set(rows.map(({ shards }) => shards)).size).toBe(1);
  });
});

describe('scheduled messages', () => {
  it('that somebody keeps locked are said to be, and go out afterwards', async () => {
    await lab.database.query(due);
    const scheduler = createScheduler(lab.database);
    await forgotten('SELECT 1 FROM holdfast.scheduled_message FOR UPDATE', async () => {
      await expect(scheduler.moveDue()).rejects.toMatchObject(lockWait);
    });
    expect(await scheduler.moveDue()).toMatchObject({ moved: 1 });
  });

  it('are moved once, in the order in which they became due, by however many relays', async () => {
    await lab.database.query(
      `INSERT INTO holdfast.scheduled_message (id, due_at, topic, payload, headers)
       SELECT gen_random_uuid(), now() - (3000 - g) * interval '1 ms', 'note', jsonb_build_object('n', g), '{}' FROM generate_series(1, 3000) AS g`,
    );
    const move = async () => {
      const scheduler = createScheduler(lab.database);
      while ((await scheduler.moveDue()).more);
    };
    await Promise.all([move(), move(), move()]);
    const { rows } = await lab.database.query<{ n: number }>(
      `SELECT (payload->>'n')::int AS n FROM holdfast.outbox ORDER BY seq`,
    );
    expect(rows.map(({ n }) => n)).toEqual(Array.from({ length: 3000 }, (_, index) => index + 1));
  });
});

it('an act of a person is refused, and says who is in its way', async () => {
  await lab.write({ n: 1 });
  await lab.database.query(
    `INSERT INTO holdfast.parked_message (subscription, seq, id, topic, lane, state, reason)
     SELECT 'main', seq, id, topic, lane, 'failed', '' FROM holdfast.outbox`,
  );
  await forgotten('SELECT 1 FROM holdfast.parked_message FOR UPDATE', async () => {
    await expect(retryParked(lab.database, { all: true }, { actor: 'me' })).rejects.toMatchObject(lockWait);
  });
});

it('a migration waits for its tables a moment at a time, while others go on, and is applied once it can', async () => {
  const test = await createTestDatabase();
  const database = openDatabase({ url: test.url });
  try {
    await migrate(database, { to: 3 });
    const holder = await database.pool.connect();
    await holder.query('BEGIN');
    await holder.query(`SELECT holdfast.send('note', '{}')`);
    const migrating = migrate(database);
    // As often as it asks, a sender is through before it.
    for (let n = 0; n < 20; n += 1) await database.query(`SELECT holdfast.send('note', '{}')`);
    await holder.query('SELECT pg_sleep(3)');
    for (let n = 0; n < 20; n += 1) await database.query(`SELECT holdfast.send('note', '{}')`);
    await holder.query('COMMIT');
    holder.release();
    expect((await migrating).map(({ version }) => version)).toContain(4);
  } finally {
    await database.close();
    await test.drop();
  }
});
