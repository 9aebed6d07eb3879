/**
 * Transactions that hand their connection on with COMMIT on its way: each has its own answer, and what goes wrong with one harms no other.
 */
import type { PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { ClientTransaction } from '../../src/inbox/handlers/client-transaction.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import { TransactionLanes } from '../../src/inbox/handlers/transaction-lanes.ts';
import type { Statement } from '../../src/inbox/handlers/unit-of-work.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { createDeadlines } from '../../src/runtime/deadlines.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';
import { clean, delivery, openLab, Placed, wire, type Lab } from './lab.ts';

const done = { kind: 'done' };
const CLEAN = { leftTraces: () => false };
const TRACES = { leftTraces: () => true };
const deadlines = createDeadlines(systemClock);

let lab: Lab;
let lanes: TransactionLanes;
beforeAll(async () => {
  lab = await openLab();
  await lab.test.pool.query(`
    CREATE TABLE late (n int UNIQUE DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE slow (seconds float8);
    CREATE FUNCTION wait_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(NEW.seconds); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_at_commit();`);
});
beforeEach(async () => {
  await clean(lab);
  await lab.test.pool.query('TRUNCATE late, slow');
  lanes = new TransactionLanes(1, systemClock);
});
afterAll(async () => {
  deadlines.close();
  await lab.dispose();
});

const INSERT: Statement = { sql: 'INSERT INTO late VALUES ($1)', parameters: ['7'] };

function transaction(timeoutMs = 10_000): ClientTransaction {
  return new ClientTransaction({ database: lab.database, deadlines }, timeoutMs, lanes);
}

/** One that has the only lane, and one that waits for it. */
async function pair(timeoutMs?: number) {
  const first = transaction(timeoutMs);
  await first.begin([], () => {});
  const second = transaction(timeoutMs);
  const opened = second
    .begin([INSERT], () => {})
    .then(
      () => 'opened' as const,
      (error: unknown) => error,
    );
  expect(lanes.isAwaited).toBe(true);
  return { first, second, opened };
}

const pidOf = (client: PoolClient): unknown => (client as unknown as { processID: unknown }).processID;
const late = async (): Promise<readonly number[]> =>
  (await lab.test.pool.query<{ n: number }>('SELECT n FROM late ORDER BY n')).rows.map(({ n }) => n);
const until = async (sql: string): Promise<void> => {
  while ((await lab.test.pool.query(sql)).rows.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
};

/** The second one commits by itself, and nothing of it is missing. */
async function endsWell({ second, opened }: Awaited<ReturnType<typeof pair>>): Promise<void> {
  expect(await opened).toBe('opened');
  expect(await second.commit([], CLEAN)).toBe(true);
  second.keepConnection(CLEAN);
  second.giveBack();
}

/** The lane that there is, and no second one: whoever hands it on must not give it back as well. */
function oneIsFree(): void {
  expect(lanes.enter()).toBeNull();
  expect(lanes.enter()).not.toBeNull();
}

describe('a transaction that hands its connection on', () => {
  it('gives it to the one that waits, before COMMIT is answered', async () => {
    const both = await pair();
    await both.first.client.query('INSERT INTO slow VALUES (0.5)');
    let answered = false;
    const committed = both.first.commit([], CLEAN).finally(() => (answered = true));
    await Promise.resolve();
    expect(pidOf(both.second.client)).toBe(pidOf(both.first.client));
    expect(answered).toBe(false);
    expect(await committed).toBe(true);
    both.first.giveBack();
    await endsWell(both);
    expect(await late()).toEqual([7]);
    // What was begun behind another one is its own master afterwards.
    expect((both.second.client as unknown as { pipeline: boolean }).pipeline).toBe(false);
    oneIsFree();
  });

  it('does not take the next one with it when its COMMIT is refused', async () => {
    const both = await pair();
    await both.first.client.query('INSERT INTO late VALUES (1), (1)');
    await expect(both.first.commit([], CLEAN)).rejects.toMatchObject({ code: '23505' });
    both.first.giveBack();
    await endsWell(both);
    expect(await late()).toEqual([7]);
  });

  it('does not lend its transaction to the next one when a statement beside COMMIT is refused', async () => {
    const both = await pair();
    await both.first.client.query('INSERT INTO late VALUES (1)');
    await expect(both.first.commit([{ sql: 'SELECT 1 / ($1::int)', parameters: ['0'] }], CLEAN)).rejects.toMatchObject({
      code: '22012',
    });
    both.first.giveBack();
    await endsWell(both);
    expect(await late()).toEqual([7]);
  });

  it('reads that COMMIT has rolled back', async () => {
    const both = await pair();
    await both.first.client.query('INSERT INTO late VALUES (1)');
    await both.first.client.query('SELECT 1/0').catch(() => {});
    expect(await both.first.commit([], CLEAN)).toBe(false);
    both.first.giveBack();
    await endsWell(both);
    expect(await late()).toEqual([7]);
  });

  it('is not kept when statements that nobody awaits stand behind the opening: the next one begins on another', async () => {
    const both = await pair();
    const { client } = both.first;
    const committed = both.first.commit([], CLEAN);
    await Promise.resolve();
    // By a handler that has kept the client itself: the lent one refuses this.
    for (let n = 0; n < 2; n += 1) client.query('SELECT pg_sleep(0.2)').catch(() => {});
    expect(await committed).toBe(true);
    both.first.giveBack();
    await endsWell(both);
    expect(pidOf(both.second.client)).not.toBe(pidOf(client));
    expect(await late()).toEqual([7]);
  });

  it('is in doubt by itself when the connection breaks: the next one begins on another', async () => {
    const both = await pair();
    await both.first.client.query('INSERT INTO slow VALUES (30)');
    const committed = both.first.commit([], CLEAN).catch((error: unknown) => error);
    await until("SELECT 1 FROM pg_stat_activity WHERE query = 'COMMIT' AND wait_event = 'PgSleep'");
    await lab.test.pool.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
    expect(String(await committed)).toMatch(/terminat/);
    both.first.giveBack();
    await endsWell(both);
    expect(await late()).toEqual([7]);
  });

  it('cuts the connection when COMMIT takes too long; the next one has not happened', async () => {
    const both = await pair(300);
    await both.first.client.query('INSERT INTO slow VALUES (30)');
    await expect(both.first.commit([], CLEAN)).rejects.toMatchObject({ code: 'HF_DATABASE_UNAVAILABLE' });
    both.first.giveBack();
    expect(await both.opened).toMatchObject({ code: 'HF_DATABASE_UNAVAILABLE' });
    both.second.giveBack();
    expect(await late()).toEqual([]);
    oneIsFree();
  });

  it('cuts the connection when COMMIT is not answered: who has it next, and more time, begins on another', async () => {
    const first = transaction(300);
    await first.begin([], () => {});
    const second = transaction(60_000);
    const opened = second.begin([INSERT], () => {}).then(() => 'opened' as const);
    await first.client.query('INSERT INTO slow VALUES (300)');
    onTestFinished(async () => {
      await lab.test.pool.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
    });
    await expect(first.commit([], CLEAN)).rejects.toMatchObject({ code: 'HF_DATABASE_UNAVAILABLE' });
    first.giveBack();
    await endsWell({ first, second, opened });
    expect(pidOf(second.client)).not.toBe(pidOf(first.client));
    expect(await late()).toEqual([7]);
  });

  it('keeps it after 64 transactions in a row: the pool has it back', async () => {
    let taken = 0;
    const count = (): number => (taken += 1);
    lab.database.pool.on('acquire', count);
    onTestFinished(() => void lab.database.pool.off('acquire', count));
    let current = transaction();
    await current.begin([], () => {});
    const takenAfter: number[] = [];
    for (let n = 0; n < 65; n += 1) {
      const next = transaction();
      const opened = next.begin([], () => {});
      // One behind the other.
      expect(await current.commit([], CLEAN)).toBe(true);
      current.keepConnection(CLEAN);
      current.giveBack();
      await opened;
      takenAfter.push(taken);
      current = next;
    }
    await current.rollBack(CLEAN);
    current.giveBack();
    expect(takenAfter).toEqual([...Array.from({ length: 64 }, () => 1), 2]);
    oneIsFree();
  });

  it.each([
    ['its handler has changed the session', async () => TRACES],
    [
      'the pool counts how often each is used',
      async () => {
        lab.database.pool.options.maxUses = 7;
        onTestFinished(() => void (lab.database.pool.options.maxUses = Infinity));
        return CLEAN;
      },
    ],
    [
      'others wait for a connection of the pool',
      async () => {
        const { pool } = lab.database;
        const taken: PoolClient[] = [];
        while (pool.totalCount < pool.options.max || pool.idleCount > 0) taken.push(await pool.connect());
        void pool.connect().then((client) => {
          for (const each of [client, ...taken]) each.release();
        });
        return CLEAN;
      },
    ],
  ])('keeps it when %s', async (_why, prepare) => {
    const both = await pair();
    const lent = await prepare();
    expect(await both.first.commit([], lent)).toBe(true);
    expect(() => both.second.client).toThrow(/no connection yet/);
    both.first.keepConnection(lent);
    both.first.giveBack();
    await endsWell(both);
    expect(await late()).toEqual([7]);
  });
});

it('what closes a transaction and was not answered in time does not commit later', async () => {
  const holder = await lab.test.pool.connect();
  await holder.query('BEGIN; LOCK TABLE late IN ACCESS EXCLUSIVE MODE');
  const only = transaction(300);
  await only.begin([], () => {});
  await expect(only.commit([INSERT], CLEAN)).rejects.toMatchObject({ code: 'HF_DATABASE_UNAVAILABLE' });
  only.giveBack();
  await holder.query('COMMIT');
  // Behind whoever waits for the table.
  await holder.query('BEGIN; LOCK TABLE late IN ACCESS EXCLUSIVE MODE; COMMIT');
  holder.release();
  expect(await late()).toEqual([]);
});

describe('TransactionLanes', () => {
  it('lets messages wait ahead behind short transactions only', async () => {
    const clock = createManualClock();
    const short = new TransactionLanes(3, clock);
    expect(short.ahead()).toBe(0);
    const run = async (ms: number): Promise<void> => {
      const since = short.nowMs();
      expect(short.enter()).toBeNull();
      await clock.advance(ms);
      short.leave(since);
    };
    await run(5);
    expect(short.ahead()).toBe(3);
    for (let n = 0; n < 20; n += 1) await run(5_000);
    expect(short.ahead()).toBe(0);
    for (let n = 0; n < 200; n += 1) await run(5);
    expect(short.ahead()).toBe(3);
  });
});

describe('a consumer with more messages than transactions', () => {
  it('hands connections on, handles each once, and holds the one that cannot be committed alone', async () => {
    let taken = 0;
    const count = (): number => (taken += 1);
    lab.database.pool.on('acquire', count);
    let open = 0;
    let most = 0;
    const consumer = lab.make({
      concurrency: 2,
      retry: { attempts: 2 },
      handlers: [
        on(Placed, async ({ n }, { tx, message }) => {
          most = Math.max(most, (open += 1));
          await tx.query('INSERT INTO effect (id, note) VALUES ($1, $2)', [message.id, String(n)]);
          if (n === 5) await tx.query('INSERT INTO late VALUES (1), (1)');
          open -= 1;
        }),
      ],
    });
    const sent = Array.from({ length: 30 }, (_, n) => wire({ data: { orderId: `o-${n}`, n } }));
    const twice = [...sent, ...sent.slice(10, 20)];
    const verdicts = await Promise.all(twice.map(async (each) => consumer.handle(delivery(each))));
    lab.database.pool.off('acquire', count);
    expect(verdicts).toEqual(twice.map(() => done));
    expect(most).toBe(2);
    const effects = await lab.effects();
    expect(effects.map(({ note }) => Number(note)).toSorted((a, b) => a - b)).toEqual(
      sent.map((_, n) => n).filter((n) => n !== 5),
    );
    expect(await lab.parked()).toMatchObject([{ message_id: sent[5]?.id, attempts: 2 }]);
    expect(await lab.count('inbox')).toBe(30);
    // Duplicates roll back, and so give their connection back to the pool.
    expect(taken).toBeLessThan(25);
  });
});
