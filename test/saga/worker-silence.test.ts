/**
 * Transaction steps whose connection falls silent, without breaking: their time is up, and no attempt is used up by it. Where the server
 * says that the statement itself hangs, one is.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import pg, { type PoolClient } from 'pg';
import { z } from 'zod';
import { nodePostgresRunner } from '../../src/adapters/node-postgres.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { transaction, transactionFor } from '../../src/saga/kinds/transaction.ts';
import { startTcpProxy, type TcpProxy } from '../support/faults/tcp-proxy.ts';
import { openLab, type Lab } from './lab.ts';

let lab: Lab;
let proxy: TcpProxy;
let database: Database;
let pool: pg.Pool;
beforeAll(async () => {
  lab = await openLab();
  proxy = await startTcpProxy(lab.test.url);
});
beforeEach(() => {
  database = openDatabase({ url: proxy.url, max: 16 });
  pool = new pg.Pool({ connectionString: proxy.url, max: 8 });
  pool.on('error', () => {});
  proxy.judge = (bytes) => FATES.find((fate) => bytes.includes(`${fate}_here`)) ?? 'pass';
});
afterEach(async () => {
  await lab.settle();
  proxy.cutAll();
  await Promise.all([database.close(), pool.end()]);
});
afterAll(async () => {
  await proxy.close();
  await lab.dispose();
});

const FATES = ['silent', 'mute', 'deaf'] as const;
type Act = (tx: PoolClient) => Promise<unknown>;

const write: Act = (tx) => tx.query(`INSERT INTO effect (what) VALUES ('booked')`);
const silent: Act = (tx) => tx.query('SELECT 1 AS silent_here');
const deaf: Act = (tx) => tx.query('SELECT 1 AS deaf_here');
const mute: Act = (tx) => tx.query('SELECT 1 AS mute_here');
/** A long answer, of which the server can send only the beginning. */
const muteAndLong: Act = (tx) => tx.query(`SELECT repeat('x', 100000) AS mute_here FROM generate_series(1, 1000)`);
/** Has its server process end for standing still, which is not heard either. */
const silentAndGone: Act = async (tx) => {
  await tx.query('SET LOCAL idle_in_transaction_session_timeout = 50');
  await silent(tx);
};

const ways: ReadonlyMap<string, Act> = new Map([
  ['before its first statement arrives', silent],
  ['behind a statement', (tx) => write(tx).then(() => silent(tx))],
  ['as the answer is on its way', (tx) => write(tx).then(() => mute(tx))],
  ['in one direction', (tx) => write(tx).then(() => deaf(tx))],
  ['in the middle of a long answer', muteAndLong],
  ['and whose server process is gone by then', silentAndGone],
  ['hangs', (tx) => tx.query('SELECT pg_sleep(600)')],
]);

/** Long enough for a busy machine to make all else in time. */
const OPTIONS = { timeout: '2s', retry: { attempts: 1 } } as const;

/** A step with one attempt, of which the first one meets what the run is given, or its compensation does. */
function booking(of: 'run' | 'compensate', runner: boolean) {
  const made: string[] = [];
  const act = async (what: 'run' | 'compensate', way: string, tx: PoolClient): Promise<void> => {
    const isFirst = !made.includes(`${what} ${way}`);
    made.push(`${what} ${way}`);
    if (what === of && isFirst) await ways.get(way)?.(tx);
    await write(tx);
  };
  const declare = runner ? transactionFor(nodePostgresRunner(pool)) : transaction;
  const flow = saga({
    name: `booking-${of}`,
    input: z.string(),
    steps: {
      book: declare({
        run: (way: string, { tx }) => act('run', way, tx),
        compensate: ({ input: way }, { tx }) => act('compensate', way, tx),
        ...OPTIONS,
        compensation: OPTIONS,
      }),
      refuse: transaction({
        run: () => {
          if (of === 'compensate') throw new Error('no');
        },
        retry: { attempts: 1 },
      }),
    },
    async run({ input, steps }) {
      await steps.book(input);
      await steps.refuse();
    },
  });
  return { flow, made };
}

describe.each([
  ['of our own', false],
  ['of a runner', true],
])('a connection %s that falls silent under a transaction step', (_, runner) => {
  it('uses up no attempt, nor one of a compensation; one in which the statement hangs does', async () => {
    const [forward, back] = [booking('run', runner), booking('compensate', runner)];
    await lab.worker([forward.flow, back.flow], { database });
    const client = lab.client([forward.flow, back.flow]);
    const silence = { uncounted: 'database', free: 1, broken: 1 };
    const met = async (way: string): Promise<unknown> => {
      const { id } = await client.start(forward.flow, way);
      if (way === 'hangs') return (await lab.until(id, 'compensated')).error;
      await lab.until(id, 'completed');
      return lab.untilEvent(id, 'attempt failed', 'book');
    };
    const compensated = async (): Promise<void> => {
      const { id } = await client.start(back.flow, 'behind a statement');
      await lab.until(id, 'compensated');
      expect(await lab.untilEvent(id, 'compensation failed', 'book')).toMatchObject(silence);
      expect(back.made).toHaveLength(3);
    };
    const names = [...ways.keys()];
    const [ended] = await Promise.all([Promise.all(names.map(met)), compensated()]);
    expect(Object.fromEntries(names.map((way, index) => [way, ended[index]]))).toMatchObject(
      Object.fromEntries(names.map((way) => [way, way === 'hangs' ? { code: 'HF_STEP_TIMEOUT' } : silence])),
    );
    expect(forward.made.filter((each) => each === 'run hangs' || each.startsWith('compensate'))).toEqual(['run hangs']);
  });
});
