/**
 * Handlers of consumers in the transactions of a client or ORM of the user's, whose connection breaks: no attempt is used up by it, whatever
 * the runner and the handler make of the error.
 */
import { Pool, type PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createConsumer } from '../../src/inbox/consumer.ts';
import type { Runner } from '../../src/postgres/runner.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
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
import { clean, delivery, openLab, Placed, wire, type Lab } from './lab.ts';

let lab: Lab;
let pool: Pool;
beforeAll(async () => {
  lab = await openLab();
  pool = new Pool({ connectionString: lab.test.url, max: 4 });
  pool.on('error', () => {});
});
beforeEach(() => clean(lab));
afterAll(async () => {
  await pool.end();
  await lab.dispose();
});

type Act = (tx: HiddenTx) => Promise<unknown>;

interface Meeting {
  readonly kind?: 'exactly-once' | 'idempotent';
  readonly timeout?: '200ms';
}

/** A consumer with one attempt, whose handler meets something the first time. */
function shipping(runner: Runner<HiddenTx>, meet: Act, { kind = 'exactly-once', ...rest }: Meeting = {}) {
  const story: string[] = [];
  const consumer = createConsumer('shipping', {
    runner,
    transport: createMemoryTransport(),
    random: () => 0,
    redeliveryHorizon: '1d',
    retry: { attempts: 1 },
    ...rest,
    handlers: (on) => [
      on(
        Placed,
        async (_order, { tx, message }) => {
          story.push('begins');
          if (kind === 'exactly-once')
            await tx.rows('INSERT INTO effect (id, note) VALUES ($1, $2)', [message.id, 'done']);
          if (story.length === 1) await meet(tx).finally(() => story.push('is over'));
        },
        { kind },
      ),
    ],
  });
  return { story, handle: async () => consumer.handle(delivery(wire())) };
}

const end: Act = (tx) => endProcessOf(tx, lab.test.pool);
const no = (): Promise<never> => Promise.reject(new Error('no'));
const hidden: Act = (tx) => end(tx).then(no);
const runners: readonly (readonly [string, (of: Pool) => Runner<HiddenTx>])[] = [
  ['passes on what its driver says', honestRunner],
  ['says in words of its own that it is closed', wordyRunner],
  ['leaves at once', leavingRunner],
];

it.each(runners)('a runner that %s when the connection breaks: the handler runs again', async (_, runnerFor) => {
  for (const meet of [hidden, end]) {
    await clean(lab);
    const { story, handle } = shipping(runnerFor(pool), meet);
    expect(await handle()).toEqual({ kind: 'done' });
    expect([story, await lab.parked()]).toEqual([['begins', 'is over', 'begins'], []]);
    expect(await lab.effects()).toHaveLength(1);
  }
});

it.each(runners)('the same of a transaction that has written nothing (%s)', async (_, runnerFor) => {
  const { story, handle } = shipping(runnerFor(pool), hidden, { kind: 'idempotent' });
  expect(await handle()).toEqual({ kind: 'done' });
  expect([story, await lab.parked()]).toEqual([['begins', 'is over', 'begins'], []]);
});

it('waits for a handler whose runner has left, before it is run again', async () => {
  const { story, handle } = shipping(leavingRunner(pool), async (tx) => {
    await end(tx);
    // The next attempt would have begun by then.
    for (let n = 0; n < 50; n += 1) await lab.test.pool.query('SELECT 1');
    story.push('goes on');
  });
  expect(await handle()).toEqual({ kind: 'done' });
  expect(story).toEqual(['begins', 'goes on', 'is over', 'begins']);
});

it.each(['exactly-once', 'idempotent'] as const)(
  'a handler that has ended the transaction by the runner has had its attempt (%s)',
  async (kind) => {
    const { story, handle } = shipping(closingRunner(pool), (tx) => tx.rows(CLOSE_IT).then(no), { kind });
    await handle();
    expect([story, await lab.parked()]).toMatchObject([['begins', 'is over'], [{ attempts: 1 }]]);
  },
);

it('a handler whose statement we end, when its time is up, has had its attempt', async () => {
  const { handle } = shipping(honestRunner(pool), (tx) => tx.rows('SELECT pg_sleep(600)'), { timeout: '200ms' });
  await handle();
  expect(await lab.parked()).toMatchObject([{ attempts: 1, error: expect.stringContaining('HF_HANDLER_TIMEOUT') }]);
});

it('a runner that cannot say it elsewhere costs no attempt', async () => {
  let isAway = false;
  const wordy = wordyRunner(pool);
  const alone = runnerOf((fn) => {
    if (!isAway) return wordy.transaction(fn);
    isAway = false;
    return Promise.reject(new Error('The pool is full.'));
  });
  const { story, handle } = shipping(alone, async (tx) => {
    await end(tx);
    isAway = true;
    throw new Error('no');
  });
  expect(await handle()).toEqual({ kind: 'done' });
  expect([story.filter((each) => each === 'begins'), await lab.parked()]).toEqual([['begins', 'begins'], []]);
});

describe('a runner that says in words of its own that COMMIT has failed', () => {
  /** Fails so the first time; `meet` has the transaction when the handler is over. */
  const failingOnce = (meet: (client: PoolClient) => Promise<unknown>): Runner<HiddenTx> => {
    let runs = 0;
    return runnerOf(async (fn) => {
      const client = await pool.connect();
      let isBroken = false;
      client.on('error', () => (isBroken = true));
      try {
        await client.query('BEGIN');
        const result = await fn(hide(client));
        runs += 1;
        if (runs > 1) await client.query('COMMIT');
        else await meet(client).then(() => Promise.reject(new Error('It was not committed.')));
        return result;
      } finally {
        client.release(isBroken);
      }
    });
  };
  const nothing = async (): Promise<void> => {};

  it('because the connection broke: it is found out, and costs no attempt', async () => {
    const { story, handle } = shipping(
      failingOnce((client) => endProcessOf(hide(client), lab.test.pool)),
      nothing,
    );
    await handle();
    expect([story, await lab.parked()]).toEqual([['begins', 'is over', 'begins'], []]);
    expect(await lab.effects()).toHaveLength(1);
  });

  it('because what it does behind it has failed: the message is handled', async () => {
    const { story, handle } = shipping(
      failingOnce((client) => client.query('COMMIT')),
      nothing,
    );
    await handle();
    expect([story, await lab.parked()]).toEqual([['begins', 'is over'], []]);
    expect(await lab.effects()).toHaveLength(1);
  });

  it('and has rolled back: that was an attempt', async () => {
    const { handle } = shipping(
      failingOnce((client) => client.query('ROLLBACK')),
      nothing,
    );
    await handle();
    expect(await lab.parked()).toMatchObject([{ attempts: 1, error: 'Error: It was not committed.' }]);
  });
});
