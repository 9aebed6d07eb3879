/**
 * The tables of the demo's four services as they are after two orders of one customer: the first was carried out, the second
 * cancelled when all but the shipment was done.
 */
import { randomUUID } from 'node:crypto';
import type { Databases } from '../../demo/audit/books.ts';
import { SERVICES } from '../../demo/services/all.ts';
import { SERVICE_NAMES, type ServiceName } from '../../demo/world.ts';
import {
  ChargePayment,
  OrderAccepted,
  OrderConfirmed,
  OrderRejected,
  RefundPayment,
  ReleaseStock,
  ReserveStock,
  ShipOrder,
} from '../../sagas/messages/order.ts';
import { createOutbox, openDatabase, type JournalEvent, type MessageType } from '../../src/index.ts';
import { sagaReply } from '../../src/saga/protocol/wire.ts';
import { createTestDatabase } from '../support/servers.ts';

export interface BookKeeper {
  readonly databases: Databases;
  sql(service: ServiceName, text: string, values?: readonly unknown[]): Promise<unknown>;
  /** Puts everything in order again. */
  write(): Promise<void>;
  dispose(): Promise<void>;
}

const TABLES: Readonly<Record<ServiceName, string>> = {
  orders:
    'orders, order_event, cancellation, holdfast.saga_run, holdfast.saga_journal, holdfast.saga_mail, holdfast.inbox',
  payment: 'account, payment',
  stock: 'product, movement',
  shipping: 'dispatch, holdfast.parked_delivery',
};

export async function openBooks(): Promise<BookKeeper> {
  const tests = await Promise.all(SERVICE_NAMES.map(() => createTestDatabase({ migrate: true })));
  const databases = Object.fromEntries(
    SERVICE_NAMES.map((name, at) => [name, openDatabase({ pool: tests[at]!.pool })]),
  ) as Databases;
  await Promise.all(SERVICE_NAMES.map((name) => databases[name].query(SERVICES[name].tables)));
  const sql: BookKeeper['sql'] = (service, text, values) => databases[service].query(text, values);
  return {
    databases,
    sql,
    async write() {
      for (const name of SERVICE_NAMES) await sql(name, `TRUNCATE ${TABLES[name]}, holdfast.outbox`);
      await sql('payment', `INSERT INTO account VALUES ('ann', 1000, 800), ('till-1', 0, 200), ('till-2', 0, 0)`);
      await sql('stock', `INSERT INTO product VALUES ('pen', 10, 8)`);
      await order({ databases, sql }, 1);
      await order({ databases, sql }, 2);
    },
    dispose: async () => void (await Promise.all(tests.map((test) => test.drop()))),
  };
}

async function order({ databases, sql }: Pick<BookKeeper, 'databases' | 'sql'>, n: 1 | 2): Promise<void> {
  const runId = randomUUID();
  const about = { orderId: `o-${n}`, customer: 'ann' };
  const { orderId } = about;
  const money = { ...about, amount: 200 };
  const goods = { ...about, sku: 'pen', quantity: 2 };
  const rows: (readonly JournalEvent[])[] = [];

  const send = (service: ServiceName, type: MessageType, payload: unknown, causationId?: string): Promise<string> =>
    databases[service].transaction(
      async (tx) => (await createOutbox().send(tx, type, payload, { ...(causationId && { causationId }) })).id,
    );
  const news = async (type: MessageType, payload: unknown, status: string): Promise<void> => {
    await sql('orders', 'INSERT INTO order_event (message_id, order_id, status) VALUES ($1, $2, $3)', [
      await send('orders', type, payload),
      orderId,
      status,
    ]);
  };
  /** A command or a compensation, what it did, and its answer. */
  const ask = async (
    service: 'payment' | 'stock' | 'shipping',
    type: MessageType,
    { call, to = 'command' }: { readonly call: string; readonly to?: 'command' | 'compensation' },
    [effect, columns, values]: readonly [string, string, string],
  ): Promise<void> => {
    const id = await send('orders', type, service === 'payment' ? money : goods);
    await sql(
      service,
      `INSERT INTO ${SERVICES[service].ledger} (message_id, order_id, run_id, call, effect, ${columns})
       VALUES ('${id}', '${orderId}', '${runId}', '${call}', '${effect}', ${values})`,
    );
    const reply = await send(service, sagaReply(), { runId, call, to, outcome: 'done' }, id);
    // An answer to a command is handed to its run in memory, and leaves no mark.
    if (to === 'compensation')
      await sql('orders', `INSERT INTO holdfast.inbox (consumer, message_id) VALUES ('saga-replies', $1)`, [reply]);
  };
  const called = (call: string, kind: 'emit' | 'command'): JournalEvent => ({ t: 'called', call, kind, step: call });
  const done = (call: string): JournalEvent => ({ t: 'done', call });

  rows.push([{ t: 'started', input: { ...goods, amount: 200 } }]);
  rows.push([called('accept', 'emit'), done('accept'), called('charge', 'command'), called('reserve', 'command')]);
  await news(OrderAccepted, about, 'accepted');
  await ask('payment', ChargePayment, { call: 'charge' }, ['charge', 'customer, amount', `'ann', 200`]);
  await ask('stock', ReserveStock, { call: 'reserve' }, ['reserve', 'sku, quantity', `'pen', 2`]);
  rows.push([done('charge')]);
  if (n === 1) {
    rows.push([done('reserve'), called('ship', 'command')]);
    await ask('shipping', ShipOrder, { call: 'ship' }, ['ship', 'sku, quantity, parcel', `'pen', 2, 'parcel'`]);
    rows.push([done('ship'), called('confirm', 'emit'), done('confirm'), { t: 'completed' }]);
    await news(OrderConfirmed, { ...about, paymentId: 'p', parcel: 'parcel' }, 'confirmed');
  } else {
    rows.push([done('reserve'), { t: 'undoing', reason: 'cancelled' }]);
    rows.push([{ t: 'compensating', call: 'reserve', round: 1 }]);
    const to = 'compensation';
    await ask('stock', ReleaseStock, { call: 'reserve', to }, ['release', 'sku, quantity', `'pen', 2`]);
    rows.push([
      { t: 'compensated', call: 'reserve' },
      { t: 'compensating', call: 'charge', round: 1 },
    ]);
    await ask('payment', RefundPayment, { call: 'charge', to }, ['refund', 'customer, amount', `'ann', 200`]);
    rows.push([{ t: 'compensated', call: 'charge' }]);
    rows.push([{ t: 'compensating', call: 'accept', round: 1 }, { t: 'compensated', call: 'accept' }, { t: 'undone' }]);
    await news(OrderRejected, about, 'rejected');
  }
  await sql(
    'orders',
    `INSERT INTO holdfast.saga_run (id, saga, version, status, started_at, finished_at)
     VALUES ($1, 'place-order', 1, $2, now(), now() + interval '1 minute')`,
    [runId, n === 1 ? 'completed' : 'compensated'],
  );
  for (const [at, events] of rows.entries())
    await sql('orders', 'INSERT INTO holdfast.saga_journal (saga_id, n, events, at) VALUES ($1, $2, $3, now())', [
      runId,
      at,
      JSON.stringify(events),
    ]);
  await sql('orders', 'INSERT INTO orders VALUES ($1, $2, $3, 2, 200, $4, $5)', [
    orderId,
    'ann',
    'pen',
    runId,
    n === 1 ? 'confirmed' : 'rejected',
  ]);
  await sql('orders', 'INSERT INTO cancellation (order_id, answer) VALUES ($1, $2)', [
    orderId,
    n === 1 ? 'HF_SAGA_PIVOTED' : 'taken',
  ]);
}
