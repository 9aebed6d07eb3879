/** One order's way over the border of its database, and what is said when one of them does not answer. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findOver } from '../../src/operations/path/find-over.ts';
import { messagePath } from '../../src/operations/path/message-path.ts';
import { pathOver } from '../../src/operations/path/path-over.ts';
import { showRun } from '../../src/operations/sagas/sagas.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { NOBODY } from './lab.ts';
import {
  AWAY,
  openTwoServices,
  startSilentServer,
  type Placed,
  type SilentServer,
  type TwoServices,
} from './two-services.ts';

let services: TwoServices;
let databases: ReadonlyMap<string, Database>;
let placed: Placed;
let silentServer: SilentServer;
const opened: Database[] = [];

beforeAll(async () => {
  [services, silentServer] = await Promise.all([openTwoServices(), startSilentServer()]);
  databases = new Map([
    ['orders', services.orders],
    ['payments', services.payments],
  ]);
  placed = await services.place('o-1');
});
afterAll(async () => {
  await silentServer.close();
  await Promise.allSettled(opened.map((each) => each.close()));
  await services.dispose();
});

/** The two, and one more that is asked first. */
function with3(name: string, url: string): ReadonlyMap<string, Database> {
  const database = openDatabase({ url, connectTimeout: '10s' });
  opened.push(database);
  return new Map([[name, database], ...databases]);
}

const stepsOf = (steps: readonly { readonly kind: string; readonly text: string; readonly database?: string }[]) =>
  steps.map(({ kind, text, database }) => `${database}: ${kind}: ${text}`);

describe('the way of a message', () => {
  it('goes from the outbox of one to the inbox of the other, and on to what that led to in the first', async () => {
    const alone = await messagePath(services.orders, placed.messageId);
    expect(alone.consumers).toEqual([]);
    expect(alone.led).toEqual([]);

    const { path, silent } = await pathOver(databases, placed.messageId);
    expect(silent).toEqual([]);
    expect(path).toMatchObject({
      state: 'logged',
      database: 'orders',
      relays: [{ subscription: 'main', state: 'passed', database: 'orders' }],
      consumers: [{ consumer: 'ledger', state: 'handled', database: 'payments' }],
      led: [{ topic: 'payment.booked', database: 'payments', depth: 1, from: placed.messageId, relation: 'caused' }],
      ledComplete: true,
      together: { runs: [{ id: placed.runId, database: 'orders' }] },
    });
    expect(stepsOf(path.steps)).toEqual([
      expect.stringMatching(/^orders: written: order.placed was written in transaction \d+$/),
      'orders: written: place-order@1 o-1 was started by the same transaction',
      'orders: relay: published it',
      'payments: consumer: handled it',
      'payments: led: payment.booked was sent by its handler',
    ]);

    // The way back: what it led to says what led to it, and who has heard of it.
    const booked = await pathOver(databases, path.led[0]!.id);
    expect(booked.path).toMatchObject({
      database: 'payments',
      causes: [{ id: placed.messageId, database: 'orders' }],
      consumers: [{ consumer: 'news', database: 'orders' }],
    });
  });

  it('goes from a command to its participant, from there to the reply, and to the call that took it in', async () => {
    const { sent } = await showRun(services.orders, placed.runId);
    const charge = sent.messages.find(({ topic }) => topic === 'payment.charge')!;
    const { path } = await pathOver(databases, charge.id);
    expect(path).toMatchObject({
      database: 'orders',
      sender: { runId: placed.runId, call: 'charge', run: { saga: 'place-order', database: 'orders' } },
      participants: [{ participant: 'payment', state: 'done', database: 'payments' }],
      consumers: [{ consumer: 'payment', state: 'handled', database: 'payments' }],
      led: [{ topic: 'saga.reply', database: 'payments' }],
    });
    const reply = await pathOver(databases, path.led[0]!.id);
    expect(reply.path).toMatchObject({
      database: 'payments',
      causes: [{ id: charge.id, database: 'orders' }],
      sender: null,
      answer: {
        runId: placed.runId,
        call: 'charge',
        state: 'taken in',
        outcome: 'done',
        run: { saga: 'place-order', database: 'orders' },
      },
    });
    // Somewhere behind: the times are of two servers.
    expect(stepsOf(reply.path.steps)).toContain(
      'orders: run: place-order@1 o-1 took it in as the answer to charge: done',
    );
  });

  it('is told without the one that is away, which is named', async () => {
    const { path, silent } = await pathOver(with3('stock', AWAY), placed.messageId);
    expect(silent.map(({ database }) => database)).toEqual(['stock']);
    expect(path.consumers).toMatchObject([{ consumer: 'ledger', database: 'payments' }]);
    // What it led to there is not known.
    expect(path.ledComplete).toBe(false);
  });

  it('is told whole but for the one that says nothing, which uses up its own time alone', async () => {
    const { path, silent } = await pathOver(with3('stock', silentServer.url), placed.messageId, { timeoutMs: 1_000 });
    expect(silent).toMatchObject([{ database: 'stock', error: { code: 'HF_READ_TIMEOUT' } }]);
    // What takes further rounds is there as well.
    expect(path.led).toMatchObject([{ topic: 'payment.booked', database: 'payments' }]);
    const booked = await pathOver(with3('stock', silentServer.url), path.led[0]!.id, { timeoutMs: 1_000 });
    expect(booked.path.causes).toMatchObject([{ id: placed.messageId, database: 'orders' }]);
  });

  it('of what is nowhere is not said to be nowhere while one does not answer', async () => {
    await expect(pathOver(databases, NOBODY)).rejects.toMatchObject({ code: 'HF_NOT_FOUND' });
    await expect(pathOver(with3('stock', AWAY), NOBODY)).rejects.toMatchObject({
      code: 'HF_READ_TIMEOUT',
      message: expect.stringMatching(/^stock did not answer, and may have .* It is not in orders, payments\./),
    });
    await expect(pathOver(databases, 'o-1')).rejects.toMatchObject({ code: 'HF_CONFIG' });
  });
});

describe('a name', () => {
  it('is looked for in all of them, and each says what it has', async () => {
    const said = await findOver(with3('stock', AWAY), 'o-1');
    expect(said.map(({ database }) => database)).toEqual(['stock', 'orders', 'payments']);
    const [stock, orders, payments] = said;
    expect(stock).toHaveProperty('error');
    expect(orders).toMatchObject({
      value: {
        found: expect.arrayContaining([
          expect.objectContaining({
            kind: 'run',
            id: placed.runId,
            show: `holdfast saga show ${placed.runId} --database orders`,
          }),
        ]),
      },
    });
    expect(payments).toMatchObject({ value: { found: [{ kind: 'message', name: 'payment.booked' }] } });
    await expect(findOver(databases, '  ')).rejects.toMatchObject({ code: 'HF_CONFIG' });
  });
});
