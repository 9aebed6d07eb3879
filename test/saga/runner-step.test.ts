/**
 * Transaction steps in the transactions of a runner that does what a runner should not, and what some do: it runs its function twice or
 * not at all, opens no transaction, hangs, works elsewhere, fails behind COMMIT, or takes a ROLLBACK for one.
 */
import { Pool } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { nodePostgresRunner } from '../../src/adapters/node-postgres.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { migrate } from '../../src/postgres/migrator.ts';
import type { Row } from '../../src/postgres/executor.ts';
import type { Runner } from '../../src/postgres/runner.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { transactionFor, type TransactionFor } from '../../src/saga/kinds/transaction.ts';
import {
  CLOSE_IT,
  closingRunner,
  endProcessOf,
  hide,
  honestRunner,
  leavingRunner,
  runnerOf,
  wordyRunner,
  type HiddenTx,
} from '../support/hidden-client.ts';
import { createTestDatabase } from '../support/servers.ts';
import { openLab, type Lab } from './lab.ts';

type Tx = HiddenTx;

let lab: Lab;
let pool: Pool;
beforeAll(async () => {
  lab = await openLab();
  pool = new Pool({ connectionString: lab.test.url, max: 4 });
  pool.on('error', () => {});
  await lab.test.pool.query('CREATE TABLE late (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)');
});
afterEach(() => lab.settle());
afterAll(async () => {
  await pool.end();
  await lab.dispose();
});

const honest = runnerOf((fn) => honestRunner(pool).transaction(fn));
const effects = async (): Promise<readonly unknown[]> =>
  (await lab.test.pool.query<{ what: string }>('SELECT what FROM effect ORDER BY id')).rows.map(({ what }) => what);

type StepOptions = Omit<Parameters<TransactionFor<Tx>>[0], 'run' | '~json'>;

function flowOf(
  runner: Runner<Tx>,
  act: (tx: Tx, attempt: number) => unknown = () => {},
  options: Partial<StepOptions> = {},
) {
  return saga({
    name: 'flow',
    input: z.null(),
    steps: {
      only: transactionFor(runner)({
        retry: { attempts: 2 },
        ...options,
        run: async (_input: null, { tx, attempt }) => {
          await tx.rows('INSERT INTO effect (what) VALUES ($1)', [`attempt ${attempt}`]);
          await act(tx, attempt);
        },
      }),
    },
    run: ({ steps }) => steps.only(null),
  });
}

async function start(flow: ReturnType<typeof flowOf>, lease: '1h' | '3s' = '1h') {
  await lab.worker([flow], { lease });
  return lab.client([flow]).start(flow, null);
}

describe('a runner that is none', () => {
  const stuck = async (runner: Runner<Tx>): Promise<string> => {
    const run = await start(flowOf(runner));
    const { why, message } = await lab.stuck(run.id);
    expect([why, await effects()]).toEqual(['code', []]);
    return message;
  };

  it('is refused without transaction', () => {
    expect(() => transactionFor({} as Runner<Tx>)).toThrow(/runner without transaction/);
  });

  it('that opens no transaction makes the run stuck', async () => {
    const rows = async (sql: string, parameters: readonly unknown[] = []): Promise<readonly Row[]> =>
      (await pool.query<Record<string, unknown>>(sql, [...parameters])).rows;
    expect(await stuck(runnerOf((fn) => fn({ rows })))).toMatch(/opened no transaction/);
  });

  it('that does not run its function makes it stuck', async () => {
    expect(await stuck(runnerOf(async () => undefined as never))).toMatch(/without running its function/);
  });

  it('that works on another database makes it stuck, with the tables there or not', async () => {
    const other = await createTestDatabase();
    const elsewhere = new Pool({ connectionString: other.url, max: 2 });
    const runner = nodePostgresRunner(elsewhere);
    const foreign = runnerOf((fn) => runner.transaction((client) => fn(hide(client))));
    expect(await stuck(foreign)).toMatch(/another database/);
    await lab.settle();
    const database = openDatabase({ pool: other.pool });
    await migrate(database);
    expect(await stuck(foreign)).toMatch(/another database/);
    await database.close();
    await elsewhere.end();
    await other.drop();
  });
});

it('a runner that runs its function again has nothing of the second time', async () => {
  const again = runnerOf(async (fn) => {
    await honest.transaction(fn);
    return honest.transaction(fn);
  });
  const run = await start(flowOf(again));
  await lab.until(run.id, 'completed');
  expect(await effects()).toEqual(['attempt 1']);
});

it('what fails behind COMMIT is no failure of the step', async () => {
  const hooked = runnerOf(async (fn) => {
    await honest.transaction(fn);
    throw Object.assign(new Error('a hook failed'), { code: '23505' });
  });
  const run = await start(flowOf(hooked));
  await lab.until(run.id, 'completed');
  expect(await effects()).toEqual(['attempt 1']);
});

it('a COMMIT that the server made a ROLLBACK of has not happened, though the runner knows nothing of it', async () => {
  let tries = 0;
  const rolling = runnerOf(async (fn) => {
    const client = await pool.connect();
    await client.query('BEGIN');
    const result = await fn(hide(client));
    tries += 1;
    // A statement that the handler has left behind, and that fails after the record.
    if (tries === 1) await client.query('SELECT 1 / 0').catch(() => {});
    // As most ORMs do, it does not look at what the server says that it did.
    await client.query('COMMIT');
    client.release();
    return result;
  });
  const run = await start(flowOf(rolling));
  await lab.until(run.id, 'completed');
  expect(await effects()).toEqual(['attempt 2']);
  expect(await lab.story(run.id)).toContain('attempt failed only');
});

it('what the server refuses at COMMIT is a failure of the step', async () => {
  const flow = flowOf(honest, (tx) => tx.rows('INSERT INTO late VALUES (1), (1)'));
  const run = await start(flow);
  const { error } = await lab.until(run.id, 'compensated');
  expect(JSON.stringify(error)).toMatch(/late_pkey/);
  expect(await lab.story(run.id)).toEqual(['called only', 'attempt failed only', 'failed only', 'undoing', 'undone']);
  expect(await effects()).toEqual([]);
});

it('a handler that ends the transaction by a statement of its own fails for good', async () => {
  const run = await start(flowOf(honest, (tx) => tx.rows('ROLLBACK')));
  const { error } = await lab.until(run.id, 'compensated');
  expect(JSON.stringify(error)).toMatch(/Leave BEGIN, COMMIT and ROLLBACK to Holdfast/);
});

it('the record is written under the role of before', async () => {
  const role = `guest_${process.pid}`;
  await lab.test.pool.query(`CREATE ROLE ${role}`);
  const run = await start(flowOf(honest, (tx) => tx.rows(`SET LOCAL ROLE ${role}`)));
  await lab.until(run.id, 'completed');
  await lab.test.pool.query(`DROP ROLE ${role}`);
});

it('a pool that is full costs no attempt', async () => {
  let full = true;
  const busy = runnerOf((fn) => {
    if (!full) return honest.transaction(fn);
    full = false;
    return Promise.reject(new Error('Timeout acquiring a connection. The pool is probably full.'));
  });
  const run = await start(flowOf(busy, () => {}, { retry: { attempts: 1 } }));
  await lab.until(run.id, 'completed');
  // The second one, though there is but one to be had.
  expect(await effects()).toEqual(['attempt 2']);
});

it('a runner that never opens a transaction is given up, and what it does later comes to nothing', async () => {
  const held: (() => Promise<unknown>)[] = [];
  const slow = runnerOf((fn) => {
    if (held.length > 0) return honest.transaction(fn);
    return new Promise((resolve, reject) => {
      held.push(() => honest.transaction(fn).then(resolve, reject));
    });
  });
  const run = await start(
    flowOf(slow, () => {}, { retry: { attempts: 1 } }),
    '3s',
  );
  await lab.until(run.id, 'completed');
  await expect(held[0]?.()).resolves.toBeUndefined();
  expect(await effects()).toEqual(['attempt 2']);
});

describe('a runner whose connection breaks', () => {
  const endBackend = (tx: Tx): Promise<void> => endProcessOf(tx, lab.test.pool);
  const hidden = (tx: Tx): Promise<never> => endBackend(tx).then(() => Promise.reject(new Error('no')));
  const once = (act: (tx: Tx) => Promise<unknown>) => (tx: Tx, attempt: number) => (attempt === 1 ? act(tx) : null);
  const isNoAttempt = async (runner: Runner<Tx>, act: (tx: Tx) => Promise<unknown>): Promise<void> => {
    const run = await start(flowOf(runner, once(act), { retry: { attempts: 1 } }));
    await lab.until(run.id, 'completed');
    expect(await lab.untilEvent(run.id, 'attempt failed', 'only')).toMatchObject({ uncounted: 'database', broken: 1 });
    expect(await effects()).toEqual(['attempt 2']);
  };

  it('costs no attempt, whatever its handler says', () => isNoAttempt(honest, hidden));

  it('and that says in words of its own that it is closed costs none', () => isNoAttempt(wordyRunner(pool), hidden));

  it('and that leaves at once, and further statements without an answer, costs none', async () => {
    await isNoAttempt(leavingRunner(pool), hidden);
    await lab.test.pool.query('TRUNCATE effect');
    await isNoAttempt(leavingRunner(pool), (tx) => endBackend(tx));
  });

  it('is not what a handler meets that has ended the transaction by the runner', async () => {
    const act = (tx: Tx) => tx.rows(CLOSE_IT).then(() => Promise.reject(new Error('no')));
    const run = await start(flowOf(closingRunner(pool), act, { retry: { attempts: 1 } }));
    await lab.until(run.id, 'compensated');
    expect(await effects()).toEqual([]);
  });
});

it('a handler whose statement we end, when its time is up, has had its attempt', async () => {
  const flow = flowOf(honest, (tx) => tx.rows('SELECT pg_sleep(600)'), { timeout: '200ms', retry: { attempts: 1 } });
  const run = await start(flow);
  expect(await lab.until(run.id, 'compensated')).toMatchObject({ error: { code: 'HF_STEP_TIMEOUT' } });
});

it('a handler that hangs in a statement is ended with its backend, and the next attempt has the effect', async () => {
  const flow = flowOf(honest, (tx, attempt) => (attempt === 1 ? tx.rows('SELECT pg_sleep(600)') : null), {
    timeout: '200ms',
  });
  const run = await start(flow);
  await lab.until(run.id, 'completed');
  expect(await effects()).toEqual(['attempt 2']);
});
