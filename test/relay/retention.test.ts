/** Retention beside everything else: two relays at once, slow subscriptions and late transactions, crashes, and the space that comes back. */
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { isVacuumWorthwhile, LogVacuum } from '../../src/relay/maintenance/log-vacuum.ts';
import { PRUNE_CHUNK, pruneChunk } from '../../src/relay/maintenance/pruner.ts';
import { pruneRounds } from '../../src/relay/maintenance/upkeep.ts';
import { noCrash, type CrashPoint } from '../../src/runtime/crash-point.ts';
import { silentLogger, type Logger } from '../../src/runtime/log.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { eventually } from '../support/eventually.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';
import { uniquePrefix } from '../support/servers.ts';

let lab: RelayLab;
beforeAll(async () => {
  lab = await createRelayLab();
});
afterEach(() => lab.reset());
afterAll(() => lab.close());

const NEVER = new AbortController().signal;

/** Delivered long ago. */
async function fillOld(rows: number): Promise<void> {
  await lab.database.query(
    `INSERT INTO holdfast.outbox (xid, id, topic, lane, payload, headers, created_at)
     SELECT pg_current_xact_id(), gen_random_uuid(), 'note', 0, '{}', '{}', now() - interval '1 year' FROM generate_series(1, $1::int)`,
    [rows],
  );
}

async function countLeft(): Promise<number> {
  const { rows } = await lab.database.query<{ n: string }>('SELECT count(*) AS n FROM holdfast.outbox');
  return Number(rows[0]?.n);
}

describe('what is pruned', () => {
  it('is pruned by one relay at a time: another one waits for nothing, and is told', async () => {
    await fillOld(100);
    await lab.relay({ from: 'now' });
    let pruned = (): void => {};
    const isPruned = new Promise<void>((resolve) => (pruned = resolve));
    let goOn = (): void => {};
    const mayCommit = new Promise<void>((resolve) => (goOn = resolve));
    // Its commit takes longer than anybody waits for a lock.
    const slow: Database = {
      ...lab.database,
      transaction: (work, options) =>
        lab.database.transaction(async (client) => {
          const result = await work(client);
          pruned();
          await mayCommit;
          return result;
        }, options),
    };
    const first = pruneChunk(slow, 0);
    await isPruned;
    expect(await pruneChunk(lab.database, 0)).toEqual({ deleted: 0, reached: 0, more: false, elsewhere: true });
    goOn();
    expect(await first).toEqual({ deleted: 100, reached: 100, more: false, elsewhere: false });
    expect(await pruneChunk(lab.database, 0)).toMatchObject({ deleted: 0, elsewhere: false });
  });

  it('goes on where a process died before or after a chunk', async () => {
    await fillOld(3 * PRUNE_CHUNK);
    let passes = 0;
    const crashPoint = (point: string): void => {
      passes += point.startsWith('relay.prune') ? 1 : 0;
      // Before the first chunk of the first round, after the first one of the second.
      if (passes === 1 || passes === 3) throw new Error('died');
    };
    const { relay } = await lab.relay({ from: 'now' }, { crashPoint });
    await expect(relay.prune()).rejects.toThrow('died');
    expect(await countLeft()).toBe(3 * PRUNE_CHUNK);
    await expect(relay.prune()).rejects.toThrow('died');
    expect(await countLeft()).toBe(2 * PRUNE_CHUNK);
    expect(await relay.prune()).toBe(2 * PRUNE_CHUNK);
  });

  it('is never what somebody has still to read, whoever commits late and whoever reads slowly', async () => {
    const fast = await lab.relay({ name: 'fast', retention: '1ms' }, { owner: 'one' });
    const slow = await lab.relay({ name: 'slow', retention: '1ms' }, { owner: 'two' });
    const written: number[] = [];
    let over = false;
    const write = async (from: number): Promise<void> => {
      for (let n = from; n < from + 60; n += 1) {
        await lab.database.transaction(async (tx) => {
          await lab.send(tx, { n, who: String(n % 3) });
          await systemClock.sleep(Math.random() * 60);
        });
        written.push(n);
      }
    };
    const repeat = async (everyMs: number, work: () => Promise<unknown>): Promise<void> => {
      while (!over) {
        await work();
        await systemClock.sleep(Math.random() * everyMs);
      }
    };
    // What commits between two looks of the slow one is behind its cursor, and old enough to go.
    const looping = [
      repeat(10, () => fast.relay.tick()),
      repeat(300, () => slow.relay.tick()),
      repeat(10, () => fast.relay.prune()),
      repeat(10, () => slow.relay.prune()),
    ];
    await Promise.all([0, 1_000, 2_000, 3_000].map(write));
    const all = written.toSorted((a, b) => a - b);
    const isWhole = (of: typeof fast): boolean => new Set(lab.numbers(of.transport)).size === all.length;
    await eventually('both have read all', async () => isWhole(fast) && isWhole(slow));
    over = true;
    await Promise.all(looping);
    for (const each of [fast, slow]) {
      expect([...new Set(lab.numbers(each.transport))].toSorted((a, b) => a - b)).toEqual(all);
    }
    await eventually('nothing is left', async () => {
      await slow.relay.prune();
      return (await countLeft()) === 0;
    });
  });

  it('is looked for from where the last round ended, and only now and then from the oldest message on', async () => {
    await fillOld(10);
    const { relay } = await lab.relay({ from: 'now' });
    await lab.database.query(
      `INSERT INTO holdfast.parked_message (subscription, seq, id, topic, lane, state, reason)
       SELECT 'main', seq, id, topic, lane, 'failed', '' FROM holdfast.outbox WHERE seq <= 4`,
    );
    const step = await pruneChunk(lab.database, 0);
    expect(step).toEqual({ deleted: 6, reached: 10, more: false, elsewhere: false });
    expect(await pruneChunk(lab.database, step.reached)).toMatchObject({ deleted: 0, reached: 10 });
    await lab.database.query('DELETE FROM holdfast.parked_message');
    expect(await relay.prune()).toBe(4);
  });

  it('with a short retention is looked for more often', () => {
    expect(pruneRounds([{ retentionMs: 7 * 86_400_000 }]).mostMs).toBe(60_000);
    expect(pruneRounds([{ retentionMs: 1_000 }, { retentionMs: 60_000 }]).mostMs).toBe(3_000);
    expect(pruneRounds([{ retentionMs: 1 }]).mostMs).toBe(1_000);
  });
});

describe('the space of what was pruned', () => {
  const ROWS = 60_000;
  const logBytes = async (): Promise<number> =>
    Number((await lab.database.query<{ n: string }>(`SELECT pg_relation_size('holdfast.outbox') AS n`)).rows[0]?.n);
  function vacuumOf(database: Database, said: string[] = [], crashPoint: CrashPoint = noCrash): LogVacuum {
    const log: Logger = { ...silentLogger, info: (_fields, text) => void said.push(text) };
    return new LogVacuum({ database, clock: systemClock, log, crashPoint });
  }
  async function fillAndPrune(vacuum: LogVacuum): Promise<void> {
    await fillOld(ROWS);
    const { relay } = await lab.relay({ from: 'now' });
    vacuum.note(await relay.prune());
  }

  it('is written to again, without waiting for autovacuum', async () => {
    await lab.database.query('ALTER TABLE holdfast.outbox SET (autovacuum_enabled = false)');
    onTestFinished(
      async () => void (await lab.database.query('ALTER TABLE holdfast.outbox RESET (autovacuum_enabled)')),
    );
    const points: string[] = [];
    let dying = true;
    const vacuum = vacuumOf(lab.database, [], (point) => {
      points.push(point);
      if (dying) throw new Error('killed');
    });
    await fillAndPrune(vacuum);
    const before = await logBytes();
    // What a death before it has left undone is done the next time.
    await expect(vacuum.run(NEVER)).rejects.toThrow('killed');
    dying = false;
    expect(await vacuum.run(NEVER)).toBe(Infinity);
    expect(points).toEqual(['relay.vacuum:before', 'relay.vacuum:before', 'relay.vacuum:after']);
    await fillOld(ROWS);
    expect(await logBytes()).toBeLessThan(1.1 * before);
    // Not again at once, and not for little.
    vacuum.note(ROWS);
    expect(await vacuum.run(NEVER)).toBeGreaterThan(0);
    expect(isVacuumWorthwhile({ deleted: 60_000, rows: 1_000_000 })).toBe(false);
    expect(isVacuumWorthwhile({ deleted: 100_000, rows: 1_000_000 })).toBe(true);
    expect(isVacuumWorthwhile({ deleted: 49_999, rows: -1 })).toBe(false);
  });

  it('is left to autovacuum by a role that does not own the log, which says so once', async () => {
    const role = uniquePrefix('pruner').replaceAll('-', '_');
    await lab.database.query(
      `CREATE ROLE ${role} LOGIN PASSWORD 'test'; GRANT USAGE ON SCHEMA holdfast TO ${role}; GRANT SELECT, DELETE ON holdfast.outbox TO ${role}`,
    );
    onTestFinished(async () => void (await lab.database.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)));
    const url = Object.assign(new URL(lab.url), { username: role, password: 'test' });
    const database = openDatabase({ url: url.href });
    onTestFinished(() => database.close());
    const said: string[] = [];
    const vacuum = vacuumOf(database, said);
    for (let round = 0; round < 2; round += 1) {
      vacuum.note(ROWS);
      expect(await vacuum.run(NEVER)).toBe(Infinity);
    }
    expect(said).toEqual([expect.stringContaining('may not vacuum')]);
  });

  it('is not waited for by a stop', async () => {
    const name = new URL(lab.url).pathname.slice(1);
    await lab.database.query(`ALTER DATABASE ${name} SET vacuum_cost_delay = '100ms'`);
    await lab.database.query(`ALTER DATABASE ${name} SET vacuum_cost_limit = 1`);
    onTestFinished(async () => {
      await lab.database.query(`ALTER DATABASE ${name} RESET vacuum_cost_delay`);
      await lab.database.query(`ALTER DATABASE ${name} RESET vacuum_cost_limit`);
    });
    const vacuum = vacuumOf(lab.database);
    await fillAndPrune(vacuum);
    const stop = new AbortController();
    const running = vacuum.run(stop.signal);
    const isRunning = async (): Promise<boolean> =>
      (
        await lab.database.query(
          `SELECT 1 FROM pg_stat_activity WHERE query LIKE 'VACUUM (%' AND state = 'active' AND datname = current_database()`,
        )
      ).rowCount === 1;
    await eventually('it vacuums', isRunning);
    stop.abort();
    await running;
    await eventually('the server has ended it too', async () => !(await isRunning()));
  });
});
