/**
 * Transaction steps whose connection breaks under their handler or in COMMIT: nothing has happened, and no attempt is used up by it, whatever
 * the handler makes of the error. What breaks its connection each time is stuck in the end, and not compensated. Connections that fall silent
 * are in worker-silence.test.ts.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { PoolClient } from 'pg';
import { z } from 'zod';
import { Rejection } from '../../src/errors.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import { startTcpProxy, type TcpProxy } from '../support/faults/tcp-proxy.ts';
import { openLab, type Lab } from './lab.ts';

let lab: Lab;
let proxy: TcpProxy;
let database: Database;
beforeAll(async () => {
  lab = await openLab();
  proxy = await startTcpProxy(lab.test.url);
});
beforeEach(() => {
  database = openDatabase({ url: proxy.url, max: 6 });
});
afterEach(async () => {
  proxy.judge = () => 'pass';
  await lab.settle();
  await database.close();
});
afterAll(async () => {
  await proxy.close();
  await lab.dispose();
});

type Act = (tx: PoolClient) => Promise<unknown>;

const write = (tx: PoolClient, what: string) => tx.query('INSERT INTO effect (what) VALUES ($1)', [what]);
/** The network goes away as this statement is on its way. */
const cut: Act = (tx) => tx.query('SELECT pg_sleep(0) AS cut_here');
/** Its server process ends while the step waits for something else. */
const endBetween: Act = async (tx) => {
  const { rows } = await tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  const gone = new Promise((resolve) => tx.once('end', resolve));
  await lab.test.pool.query('SELECT pg_terminate_backend($1)', [rows[0]?.pid]);
  await gone;
};

interface Meeting {
  readonly times?: number;
  readonly of?: 'run' | 'compensate';
  readonly attempts?: number;
}

/** A step with one attempt, of which the first ones meet something; 'over': and do nothing more then. */
function booking(meet: Act, { times = 1, of = 'run', attempts = 1 }: Meeting = {}) {
  const made = { run: 0, compensate: 0 };
  const act = async (what: 'run' | 'compensate', tx: PoolClient): Promise<void> => {
    made[what] += 1;
    await write(tx, what);
    if (what === of && made[what] <= times && (await meet(tx)) === 'over') return;
    await write(tx, `${what} ends`);
  };
  const flow = saga({
    name: 'booking',
    input: z.null(),
    steps: {
      book: transaction({
        run: (_: void, { tx }) => act('run', tx),
        compensate: (_, { tx }) => act('compensate', tx),
        retry: { attempts },
        compensation: { retry: { attempts } },
      }),
      refuse: transaction({
        run: () => {
          if (of === 'compensate') throw new Rejection('no');
        },
      }),
    },
    async run({ steps }) {
      await steps.book();
      await steps.refuse();
      return 'booked';
    },
  });
  return { flow, made };
}

async function start({ flow }: ReturnType<typeof booking>) {
  proxy.judge = (bytes) => (bytes.includes('cut_here') ? 'before' : 'pass');
  await lab.worker([flow], { database });
  return lab.client([flow]).start(flow, null);
}

const effects = async (): Promise<readonly string[]> =>
  (await lab.test.pool.query<{ what: string }>('SELECT what FROM effect ORDER BY id')).rows.map(({ what }) => what);

const ways: readonly (readonly [string, Act])[] = [
  ['under a statement', cut],
  ['under a statement, and says so in words of its own', (tx) => cut(tx).catch(() => Promise.reject(new Error('no')))],
  ['under a statement, and stumbles over it', (tx) => cut(tx).catch(() => (null as unknown as Date).getTime())],
  ['under a statement, and takes no notice', (tx) => cut(tx).catch(() => undefined)],
  ['under its last statement, and takes no notice', (tx) => cut(tx).then(String, () => 'over')],
  ['between two statements', endBetween],
  ['behind its last statement', (tx) => endBetween(tx).then(() => 'over')],
  [
    'between two statements, and throws what it likes',
    (tx) => endBetween(tx).then(() => Promise.reject(new Error('no'))),
  ],
];

describe('a transaction step whose connection breaks', () => {
  it.each(ways)('%s is made again, with its only attempt', async (_, meet) => {
    const step = booking(meet);
    const run = await start(step);
    expect(await lab.until(run.id, 'completed')).toMatchObject({ result: 'booked' });
    const failed = await lab.untilEvent(run.id, 'attempt failed', 'book');
    expect(failed).toMatchObject({ uncounted: 'database', free: 1, broken: 1 });
    expect([step.made, await effects()]).toEqual([{ run: 2, compensate: 0 }, ['run', 'run ends']]);
  });

  it.each(ways)('%s does so in a compensation as well', async (_, meet) => {
    const step = booking(meet, { of: 'compensate' });
    const run = await start(step);
    await lab.until(run.id, 'compensated');
    const failed = await lab.untilEvent(run.id, 'compensation failed', 'book');
    expect(failed).toMatchObject({ uncounted: 'database', free: 1, broken: 1 });
    expect(step.made).toEqual({ run: 1, compensate: 2 });
    expect(await effects()).toEqual(['run', 'run ends', 'compensate', 'compensate ends']);
  });

  it('and that is refused for certain is refused', async () => {
    const step = booking((tx) => cut(tx).catch(() => Promise.reject(new Rejection('sold out'))));
    const run = await start(step);
    expect(await lab.until(run.id, 'compensated')).toMatchObject({
      error: { message: expect.stringContaining('sold') },
    });
    expect(step.made.run).toBe(1);
  });

  it('in each of six attempts is stuck, and has as many again when a person says so', async () => {
    const step = booking(cut, { times: 11 });
    const run = await start(step);
    expect(await lab.stuck(run.id)).toMatchObject({
      why: 'kills workers',
      call: 'book',
      message: expect.stringContaining('connection'),
    });
    expect(step.made).toEqual({ run: 6, compensate: 0 });
    await lab.untilFree(run.id);
    await lab.postRunMessage(run.id, { kind: 'retry', actor: 'ann' });
    expect(await lab.until(run.id, 'completed')).toMatchObject({ result: 'booked' });
    expect([step.made.run, await effects()]).toEqual([12, ['run', 'run ends']]);
  });

  it('in each of six attempts of a compensation is stuck', async () => {
    const step = booking(cut, { times: 6, of: 'compensate' });
    const run = await start(step);
    expect(await lab.stuck(run.id)).toMatchObject({ why: 'kills workers', call: 'book' });
    expect(step.made).toEqual({ run: 1, compensate: 6 });
  });

  it('is counted anew after an attempt that ends in another way', async () => {
    let tries = 0;
    const step = booking(
      async (tx) => {
        tries += 1;
        if (tries % 5 === 0) throw new Error('busy');
        await cut(tx);
      },
      { times: 13, attempts: 3 },
    );
    const run = await start(step);
    expect(await lab.until(run.id, 'completed')).toMatchObject({ result: 'booked' });
    expect(step.made.run).toBe(14);
  });
});

describe('a transaction step whose COMMIT ends its server process', () => {
  beforeAll(async () => {
    await lab.test.pool.query(`
      CREATE TABLE deadly (id int);
      CREATE FUNCTION end_backend() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;
      CREATE CONSTRAINT TRIGGER end_backend AFTER INSERT ON deadly DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION end_backend()`);
  });

  it.each(['run', 'compensate'] as const)('in each of six attempts of %s is stuck, and says so', async (of) => {
    const step = booking((tx) => tx.query('INSERT INTO deadly VALUES (1)'), { times: 6, of });
    const run = await start(step);
    expect(await lab.stuck(run.id)).toMatchObject({
      why: 'kills workers',
      call: 'book',
      message: expect.stringContaining('COMMIT'),
    });
    expect(step.made[of]).toBe(6);
    await lab.untilFree(run.id);
    await lab.postRunMessage(run.id, { kind: 'retry', actor: 'ann' });
    await lab.until(run.id, of === 'run' ? 'completed' : 'compensated');
    expect(step.made[of]).toBe(7);
  });
});

describe('a transaction step whose connection is whole', () => {
  it('has its attempt counted when another connection breaks', async () => {
    const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', syscall: 'read' });
    const step = booking(() => Promise.reject(reset));
    const run = await start(step);
    await lab.until(run.id, 'compensated');
    expect(step.made.run).toBe(1);
  });

  it('has it counted when its time is up and we end its statement', async () => {
    let compensated = 0;
    const slow = saga({
      name: 'slow',
      input: z.null(),
      steps: {
        rest: transaction({
          run: async (_: void, { tx }) => void (await tx.query('SELECT pg_sleep(600)')),
          compensate: () => void (compensated += 1),
          timeout: '200ms',
          retry: { attempts: 1 },
        }),
      },
      run: ({ steps }) => steps.rest(),
    });
    await lab.worker([slow], { database });
    const run = await lab.client([slow]).start(slow, null);
    expect(await lab.until(run.id, 'compensated')).toMatchObject({ error: { code: 'HF_STEP_TIMEOUT' } });
    expect(compensated).toBe(0);
  });
});
