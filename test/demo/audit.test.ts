/**
 * The demo's audit must be able to fail: books that are in order, and then each of the things it promises to find.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { audit } from '../../demo/audit.ts';
import { readBooks } from '../../demo/audit/books.ts';
import { mostEventful } from '../../demo/audit/runs.ts';
import type { ServiceName } from '../../demo/world.ts';
import { openBooks, type BookKeeper } from './honest-books.ts';

let books: BookKeeper;

beforeAll(async () => {
  books = await openBooks();
});
beforeEach(async () => {
  await books.write();
});
afterAll(async () => {
  await books.dispose();
});

/** What an audit of honest books counts as wrong. */
const NOTHING = {
  lost: 0,
  outOfOrder: 0,
  stuck: 0,
  unfinished: 0,
  doubleEffects: 0,
  missingCompensations: 0,
  wrongOrderCompensations: 0,
  wrongEnds: 0,
  moneyConserved: true,
  stockConserved: true,
  cancellationsLost: 0,
  ghosts: 0,
  parked: 0,
};

/** Where a journal row of the second order says this. */
const row = (event: string): string =>
  `saga_id = (SELECT run_id FROM orders WHERE id = 'o-2') AND events::text LIKE '%${event}%'`;
const again = (table: string, columns: string, where: string): string =>
  `INSERT INTO ${table} (${columns}) SELECT ${columns} FROM ${table} WHERE ${where}`;
const ENTRY = 'message_id, order_id, run_id, call, effect';
const GOODS = `${ENTRY}, sku, quantity`;
/** The database itself does not let a run leave its end. */
const becomes = (status: string, order: string): string => `
  ALTER TABLE holdfast.saga_run DISABLE TRIGGER saga_run_terminal;
  UPDATE holdfast.saga_run SET status = '${status}', finished_at = NULL WHERE id = (SELECT run_id FROM orders WHERE id = '${order}');
  ALTER TABLE holdfast.saga_run ENABLE TRIGGER saga_run_terminal`;

describe('the audit of the demo', () => {
  it('finds nothing wrong where all is right', async () => {
    const result = audit(await readBooks(books.databases), 2);
    expect(result).toMatchObject({ ...NOTHING, orders: 2, runs: 2, completed: 1, compensated: 1, ok: true });
    expect(result).toMatchObject({ committed: 18, delivered: 18, cancellations: 2, cancellationsRefused: 1 });
  });

  it.each<readonly [string, ServiceName, string, object]>([
    ['news that nobody heard', 'orders', `DELETE FROM order_event WHERE status = 'confirmed'`, { lost: 1 }],
    ['a command that nobody answered', 'shipping', 'DELETE FROM holdfast.outbox', { lost: 1 }],
    [
      'an answer to a compensation that nobody took in',
      'orders',
      `DELETE FROM holdfast.inbox WHERE ctid IN (SELECT ctid FROM holdfast.inbox LIMIT 1)`,
      { lost: 1 },
    ],
    [
      'an answer to a command that was given up before it was taken in',
      'orders',
      `UPDATE holdfast.saga_journal SET events = replace(events::text, '"t":"done","call":"charge"', '"t":"failed","outcome":"unknown","call":"charge"')::json`,
      { lost: 2 },
    ],
    [
      'an answer that its run was never told',
      'orders',
      `UPDATE holdfast.saga_journal SET events = '[]' WHERE ${row('"done","call":"charge"')}`,
      { lost: 1 },
    ],
    [
      'news in the wrong order',
      'orders',
      `WITH gone AS (DELETE FROM order_event WHERE order_id = 'o-1' AND status = 'accepted' RETURNING message_id, order_id, status)
       INSERT INTO order_event (message_id, order_id, status) SELECT * FROM gone`,
      { outOfOrder: 2 },
    ],
    [
      'news heard twice',
      'orders',
      again('order_event', 'message_id, order_id, status', `status = 'rejected'`),
      { doubleEffects: 1, outOfOrder: 1 },
    ],
    ['a run that is stuck', 'orders', becomes('stuck', 'o-2'), { stuck: 1, wrongEnds: 1, compensated: 0 }],
    ['a run that is not finished', 'orders', becomes('waiting', 'o-1'), { unfinished: 1, wrongEnds: 1, completed: 0 }],
    [
      'an order that says otherwise',
      'orders',
      `UPDATE orders SET status = 'accepted' WHERE id = 'o-2'`,
      { wrongEnds: 1 },
    ],
    [
      'a charge that was made twice',
      'payment',
      again('payment', `${ENTRY}, customer, amount`, `effect = 'charge' AND order_id = 'o-1'`),
      { doubleEffects: 1, moneyConserved: false },
    ],
    [
      'a release that was made twice',
      'stock',
      again('movement', GOODS, `effect = 'release'`),
      { doubleEffects: 1, stockConserved: false },
    ],
    [
      'a parcel that was sent twice',
      'shipping',
      again('dispatch', `${GOODS}, parcel`, `effect = 'ship'`),
      { doubleEffects: 1, stockConserved: false },
    ],
    [
      'a charge that was not refunded',
      'payment',
      `DELETE FROM payment WHERE effect = 'refund'`,
      { missingCompensations: 1, moneyConserved: false },
    ],
    [
      'a parcel of an order that was compensated',
      'shipping',
      `UPDATE dispatch SET run_id = (SELECT gen_random_uuid())`,
      // The run that was completed lacks it now.
      { ghosts: 1, missingCompensations: 1 },
    ],
    [
      'a refund of an order that was carried out',
      'payment',
      `INSERT INTO payment (${ENTRY}, customer, amount) SELECT message_id, order_id, run_id, call, 'refund', customer, 0
       FROM payment WHERE order_id = 'o-1'`,
      { missingCompensations: 1, moneyConserved: true },
    ],
    [
      'a completed run without its shipment',
      'shipping',
      'DELETE FROM dispatch',
      { missingCompensations: 1, stockConserved: false },
    ],
    [
      'a compensation that went forward',
      'orders',
      `UPDATE holdfast.saga_journal
       SET events = (CASE WHEN events::text LIKE '%"compensating","call":"reserve"%' THEN
         replace(events::text, '"compensating","call":"reserve"', '"compensating","call":"charge"')
         ELSE replace(events::text, '"compensating","call":"charge"', '"compensating","call":"reserve"') END)::json
       WHERE ${row('compensating')}`,
      { wrongOrderCompensations: 1 },
    ],
    [
      'money that went missing',
      'payment',
      `UPDATE account SET balance = 799 WHERE name = 'ann'`,
      { moneyConserved: false },
    ],
    [
      'money that the merchant should not have',
      'payment',
      `UPDATE account SET balance = CASE name WHEN 'ann' THEN 700 ELSE 150 END`,
      { moneyConserved: false },
    ],
    ['goods that went missing', 'stock', 'UPDATE product SET available = available - 1', { stockConserved: false }],
    [
      'a cancellation that was taken and forgotten',
      'orders',
      `UPDATE cancellation SET answer = 'taken' WHERE order_id = 'o-1'`,
      { cancellationsLost: 1 },
    ],
    ['all of an order that never was', 'orders', `DELETE FROM orders WHERE id = 'o-2'`, { orders: 1, ghosts: 15 }],
    [
      'an effect without a message',
      'stock',
      `UPDATE movement SET message_id = gen_random_uuid() WHERE effect = 'release'`,
      { ghosts: 1 },
    ],
    [
      'mail that no run has taken in',
      'orders',
      `INSERT INTO holdfast.saga_mail (saga_id, saga, version, kind, body)
       SELECT id, saga, version, 'cancel', '{"kind":"cancel"}' FROM holdfast.saga_run LIMIT 1`,
      { parked: 1 },
    ],
    [
      'a parked message',
      'shipping',
      `INSERT INTO holdfast.parked_delivery (consumer, message_id, topic, envelope, state, reason)
       VALUES ('shipping', gen_random_uuid(), 'order.ship', '{}', 'failed', 'gave up')`,
      { parked: 1 },
    ],
  ])('finds %s, and nothing else', async (_, service, sabotage, found) => {
    await books.sql(service, sabotage);
    expect(audit(await readBooks(books.databases), 2)).toMatchObject({ ...NOTHING, ...found, ok: false });
  });

  it('finds that orders are missing', async () => {
    const { sections } = audit(await readBooks(books.databases), 3);
    const wrong = sections.flatMap(({ findings }) => findings).filter(({ ok }) => !ok);
    expect(wrong.map(({ what }) => what)).toEqual(['started']);
  });

  it('takes a second round of a compensation, which a late answer makes necessary, for what it is', async () => {
    await books.sql(
      'orders',
      `UPDATE holdfast.saga_journal SET events = replace(events::text, '{"t":"compensating","call":"accept"',
         '{"t":"late reply","call":"reserve","outcome":"done"},{"t":"compensating","call":"reserve","round":2},{"t":"compensating","call":"accept"')::json
       WHERE ${row('"compensating","call":"accept"')}`,
    );
    const read = await readBooks(books.databases);
    expect(read.runs.flatMap(({ events }) => events).filter(({ t }) => t === 'late reply')).toHaveLength(1);
    expect(audit(read, 2)).toMatchObject({ ...NOTHING, ok: true });
  });

  it('finds the story that is worth telling', async () => {
    const { runs } = await readBooks(books.databases);
    expect(mostEventful(runs)?.status).toBe('compensated');
    expect(mostEventful(runs.filter(({ status }) => status === 'completed'))).toBeNull();
  });
});
