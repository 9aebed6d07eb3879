/**
 * Participants whose connection breaks under a handler, or in its COMMIT: the command is answered all the same, once, and as its handler
 * means it. Else a saga would be compensated for a network that was away for a moment.
 */
import type { PoolClient } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { Rejection } from '../../src/errors.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { handle } from '../../src/saga/participant/handle.ts';
import { isCommit, startTcpProxy, type TcpProxy } from '../support/faults/tcp-proxy.ts';
import { note, openStockLab, Release, Reserve, Reserved, sent, type StockLab } from './participant-lab.ts';

let lab: StockLab;
let proxy: TcpProxy;
let database: Database;
beforeAll(async () => {
  lab = await openStockLab();
  proxy = await startTcpProxy(lab.test.url);
});
beforeEach(async () => {
  await lab.clean();
  database = openDatabase({ url: proxy.url, max: 4 });
  proxy.judge = (bytes) => (bytes.includes('cut_here') ? 'before' : 'pass');
});
afterEach(() => database.close());
afterAll(async () => {
  await proxy.close();
  await lab.dispose();
});

type Act = (tx: PoolClient) => Promise<unknown>;

const cut: Act = (tx) => tx.query('SELECT pg_sleep(0) AS cut_here');
const no = (): Promise<never> => Promise.reject(new Error('no'));
const cutCommit: Act = async () => {
  proxy.judge = (bytes) => {
    if (!isCommit(bytes)) return 'pass';
    proxy.judge = () => 'pass';
    return 'before';
  };
};

/** With one attempt for each message; the first run of each handler meets something. */
function stock(meet: Act) {
  const ran: string[] = [];
  const act = async (what: string, tx: PoolClient): Promise<void> => {
    await note(tx, what);
    ran.push(what);
    if (ran.filter((each) => each === what).length === 1) await meet(tx);
  };
  const handlers = [
    handle(Reserve, { reply: Reserved }, async ({ count }, { tx }) => {
      await act('reserve', tx);
      return { reservation: `r-${count}` };
    }),
    handle(Release, { compensates: Reserve, reply: Reserved }, (_, { tx }) => act('release', tx)),
  ];
  return { ran, participant: lab.participant({ database, retry: { attempts: 1 }, handlers }) };
}

const ways: readonly (readonly [string, Act])[] = [
  ['under a statement', cut],
  ['under a statement, and says so in words of its own', (tx) => cut(tx).catch(no)],
  ['under a statement, and takes no notice', (tx) => cut(tx).catch(() => undefined)],
  ['in a COMMIT that does not arrive', cutCommit],
];

it.each(ways)(
  'a participant whose connection breaks %s answers command and compensation, each once',
  async (_, meet) => {
    const { participant, ran } = stock(meet);
    for (const role of ['command', 'compensation'] as const) {
      const message = sent({ role, outcome: 'done' });
      expect(await participant.handle(message)).toEqual({ kind: 'done' });
      expect(await participant.handle(message)).toEqual({ kind: 'done' });
      proxy.judge = (bytes) => (bytes.includes('cut_here') ? 'before' : 'pass');
    }
    expect(await lab.parked()).toEqual([]);
    expect([ran, await lab.notes()]).toEqual([
      ['reserve', 'reserve', 'release', 'release'],
      ['reserve', 'release'],
    ]);
    expect(await lab.replies()).toMatchObject([{ outcome: 'done' }, { outcome: 'done' }]);
  },
);

it.each(ways.slice(0, 3))('the same in a batch (%s)', async (_, meet) => {
  const { ran } = stock(meet);
  const handlers = [
    handle(Reserve, { reply: Reserved }, async ({ sku, count }, { tx }) => {
      await note(tx, sku);
      ran.push(sku);
      if (ran.length === 2) await meet(tx);
      return { reservation: `r-${count}` };
    }),
  ];
  const participant = lab.participant({ database, retry: { attempts: 1 }, handlers, batch: true, concurrency: 1 });
  const skus = ['a', 'b', 'c'];
  await Promise.all(skus.map((sku) => participant.handle(sent({ call: `reserve:${sku}`, data: { sku, count: 1 } }))));
  expect(await lab.parked()).toEqual([]);
  expect((await lab.notes()).toSorted()).toEqual(skus);
  expect(await lab.replies()).toMatchObject(skus.map(() => ({ outcome: 'done' })));
});

it('a refusal on top of a connection that broke is a refusal', async () => {
  const { participant, ran } = stock((tx) => cut(tx).catch(() => Promise.reject(new Rejection('sold out'))));
  await participant.handle(sent());
  expect([ran, await lab.notes(), await lab.parked()]).toEqual([['reserve'], [], []]);
  expect(await lab.replies()).toMatchObject([
    { outcome: 'rejected', error: { message: expect.stringContaining('sold') } },
  ]);
});
