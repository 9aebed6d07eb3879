/**
 * Handlers whose connection breaks under them, or in their COMMIT: no attempt is used up by it, whatever the handler makes of the error.
 * What breaks its connection each time is parked in the end, with an error that says so.
 */
import type { PoolClient } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { PermanentError } from '../../src/errors.ts';
import type { DatabaseConsumerOptions } from '../../src/inbox/consumer-options.ts';
import { FREE_CUTS } from '../../src/inbox/handlers/decide.ts';
import { on, type HandlerContext } from '../../src/inbox/handlers/handler.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { isCommit, startTcpProxy, type TcpProxy } from '../support/faults/tcp-proxy.ts';
import { batching, handleAll, idsOf, wires } from './batch-lab.ts';
import { clean, delivery, openLab, Placed, wire, type Lab } from './lab.ts';

let lab: Lab;
let proxy: TcpProxy;
let database: Database;
beforeAll(async () => {
  lab = await openLab();
  proxy = await startTcpProxy(lab.test.url);
});
beforeEach(async () => {
  await clean(lab);
  database = openDatabase({ url: proxy.url, max: 4 });
  proxy.judge = (bytes) => (bytes.includes('cut_here') ? 'before' : 'pass');
});
afterEach(() => database.close());
afterAll(async () => {
  await proxy.close();
  await lab.dispose();
});

type Act = (tx: PoolClient) => Promise<unknown>;

/** The network goes away as this statement is on its way. */
const cut: Act = (tx) => tx.query('SELECT pg_sleep(0) AS cut_here');
/** Its server process ends while the handler waits for something else. */
const endBetween: Act = async (tx) => {
  const { rows } = await tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  const gone = new Promise((resolve) => tx.once('end', resolve));
  await lab.test.pool.query('SELECT pg_terminate_backend($1)', [rows[0]?.pid]);
  await gone;
};
/** COMMIT of this transaction is cut. */
const cutCommit =
  (fate: 'before' | 'after'): Act =>
  async () => {
    proxy.judge = (bytes) => {
      if (!isCommit(bytes)) return 'pass';
      proxy.judge = () => 'pass';
      return fate;
    };
  };

const no = (): Promise<never> => Promise.reject(new Error('no'));
const nested: Act = async (tx) => {
  await tx.query('BEGIN');
  await cut(tx).catch(() => undefined);
};

const ways: readonly (readonly [string, Act])[] = [
  ['under a statement', cut],
  ['under a statement, and says so in words of its own', (tx) => cut(tx).catch(no)],
  ['under a statement, and stumbles over it', (tx) => cut(tx).catch(() => (null as unknown as Date).getTime())],
  ['under a statement, and takes no notice', (tx) => cut(tx).catch(() => undefined)],
  ['under a statement of a transaction of its own', nested],
  ['between two statements', (tx) => endBetween(tx).then(() => tx.query('SELECT 1'))],
  ['behind its last statement', endBetween],
  ['between two statements, and throws what it likes', (tx) => endBetween(tx).then(no)],
  ['in a COMMIT that does not arrive', cutCommit('before')],
];

interface Meeting extends Partial<DatabaseConsumerOptions> {
  readonly times?: number;
  readonly kind?: 'exactly-once' | 'idempotent' | 'at-most-once';
}

/** A consumer with one attempt, whose handler meets something the first times. */
function shipping(meet: Act, { times = 1, kind = 'exactly-once', ...rest }: Meeting = {}) {
  const seen: number[] = [];
  const run = async (_order: unknown, { tx, message, attempt }: HandlerContext<PoolClient>): Promise<void> => {
    seen.push(attempt);
    await tx.query('INSERT INTO effect (id, note) VALUES ($1, $2)', [message.id, `run ${seen.length}`]);
    proxy.judge = (bytes) => (bytes.includes('cut_here') ? 'before' : 'pass');
    if (seen.length <= times) await meet(tx);
  };
  const handlers = [on(Placed, run, { kind })];
  return { seen, consumer: lab.make({ database, retry: { attempts: 1 }, handlers, ...rest }) };
}

describe('a handler whose connection breaks', () => {
  it.each(ways)('%s: it runs again, with its only attempt', async (_, meet) => {
    const { consumer, seen } = shipping(meet);
    expect(await consumer.handle(delivery(wire()))).toEqual({ kind: 'done' });
    expect(await lab.parked()).toEqual([]);
    expect([seen, await lab.effects()]).toMatchObject([[1, 1], [{ note: 'run 2' }]]);
  });

  it.each(ways)('%s: in order as well', async (_, meet) => {
    const { consumer, seen } = shipping(meet, { ordered: true });
    const first = wire({ key: 'a' });
    await consumer.handle(delivery(first));
    await consumer.handle(delivery(wire({ key: 'a', predecessor: { id: first.id } })));
    expect(await lab.parked()).toEqual([]);
    expect([seen, await lab.effects()]).toMatchObject([
      [1, 1, 1],
      [{ id: first.id }, { note: 'run 3' }],
    ]);
  });

  it('in a COMMIT that was heard: it is found out, and has no second effect', async () => {
    const { consumer, seen } = shipping(cutCommit('after'));
    expect(await consumer.handle(delivery(wire()))).toEqual({ kind: 'done' });
    expect([seen, await lab.effects(), await lab.parked()]).toMatchObject([[1], [{ note: 'run 1' }], []]);
  });

  it('without a mark: it runs again', async () => {
    const { consumer, seen } = shipping(cut, { kind: 'idempotent' });
    await consumer.handle(delivery(wire()));
    expect([seen, await lab.effects(), await lab.parked()]).toMatchObject([[1, 1], [{ note: 'run 2' }], []]);
  });

  it('and that refuses the message for good has it parked', async () => {
    const meet: Act = (tx) => cut(tx).catch(() => Promise.reject(new PermanentError('never')));
    const { consumer, seen } = shipping(meet);
    await consumer.handle(delivery(wire()));
    expect([seen, await lab.parked()]).toMatchObject([[1], [{ reason: 'permanent error', redrives: 0 }]]);
  });

  it('each time: it is parked after its attempts, and the error says why', async () => {
    const { consumer, seen } = shipping(cut, { times: Infinity, retry: { attempts: 2 } });
    expect(await consumer.handle(delivery(wire()))).toEqual({ kind: 'done' });
    expect(seen).toEqual([...Array<number>(FREE_CUTS + 1).fill(1), 2]);
    expect(await lab.parked()).toMatchObject([
      { attempts: 2, reason: 'gave up after retries', error: expect.stringContaining('HF_HANDLER_CUT') },
    ]);
  });

  it('each time: it is a dead letter when its redrives are used up as well', async () => {
    const { consumer, seen } = shipping(cut, { times: Infinity, parkedRetry: { attempts: 3 } });
    await consumer.handle(delivery(wire()));
    expect(seen).toHaveLength(FREE_CUTS + 1);
    await consumer.tickParked();
    expect(seen).toHaveLength(FREE_CUTS + 4);
    expect(await lab.parked()).toMatchObject([
      { redrives: 3, next_attempt_at: null, error: expect.stringContaining('HF_HANDLER_CUT') },
    ]);
  });
});

const due = (): Promise<unknown> =>
  lab.test.pool.query('UPDATE holdfast.parked_delivery SET next_attempt_at = clock_timestamp()');

describe('beside a connection that breaks', () => {
  it('a redrive that was cut is given back', async () => {
    let fails = true;
    const { consumer, seen } = shipping(async (tx) => (fails ? no() : cut(tx)), { times: 2 });
    await consumer.handle(delivery(wire()));
    fails = false;
    await due();
    await consumer.tickParked();
    expect([seen.length, await lab.parked()]).toMatchObject([2, [{ redrives: 0 }]]);
    await due();
    await consumer.tickParked();
    expect([seen.length, await lab.parked(), (await lab.effects()).length]).toEqual([3, [], 1]);
  });

  it('the messages of a batch are all handled, each with its only attempt', async () => {
    let ran = 0;
    const consumer = batching(lab, async (_, { tx }) => void ((ran += 1) === 3 && (await cut(tx))), {
      database,
      retry: { attempts: 1 },
    });
    const sent = wires(5);
    await handleAll(consumer, sent);
    expect([idsOf(await lab.effects()), await lab.parked()]).toEqual([idsOf(sent), []]);
  });

  it('a message that breaks its connection in a batch and alone is parked, and no other', async () => {
    const consumer = batching(lab, async ({ n }, { tx }) => void (n === 2 && (await endBetween(tx))), {
      database,
      retry: { attempts: 1 },
    });
    const sent = wires(5);
    await handleAll(consumer, sent);
    expect(await lab.parked()).toMatchObject([{ message_id: sent[2]?.id, attempts: 1 }]);
    expect(await lab.effects()).toHaveLength(4);
  });

  it('a message that may run once alone is lost when its handler was running', async () => {
    const { consumer, seen } = shipping(cut, { kind: 'at-most-once' });
    expect(await consumer.handle(delivery(wire()))).toEqual({ kind: 'done' });
    expect([seen, await lab.effects(), await lab.parked()]).toEqual([[1], [], []]);
  });
});

describe('counted all the same is', () => {
  const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', syscall: 'read' });
  const hangs: Act = (tx) => tx.query('SELECT pg_sleep(600)');

  it.each<[string, Act, string]>([
    ['the end of another connection', () => Promise.reject(reset), 'read ECONNRESET'],
    ['a handler that hangs until we end it', hangs, 'HF_HANDLER_TIMEOUT'],
    ['one that leaves a statement running, which we end', (tx) => Promise.race([hangs(tx), no()]), 'Error: no'],
  ])('%s', async (_, meet, error) => {
    const { consumer, seen } = shipping(meet, { timeout: '200ms' });
    await consumer.handle(delivery(wire()));
    expect([seen, await lab.parked()]).toMatchObject([[1], [{ attempts: 1, error: expect.stringContaining(error) }]]);
  });
});
