/**
 * The payment service, a participant: moves money from the customer to the merchant, and back.
 */
import type { PoolClient } from 'pg';
import { handle, createParticipant, Rejection } from '../../src/index.ts';
import { ChargePayment, PaymentCharged, RefundPayment } from '../../sagas/messages/order.ts';
import { accounts, chance, tillOf } from '../world.ts';
import { PAUSES } from './moods.ts';
import { CONCURRENCY, entry, LEDGER, RETRY, type DemoService } from './service.ts';

export const payment: DemoService = {
  tables: `
    CREATE TABLE account (name text PRIMARY KEY, initial integer NOT NULL, balance integer NOT NULL CHECK (balance >= 0));
    CREATE TABLE payment (${LEDGER}, customer text NOT NULL, amount integer NOT NULL);
    ${PAUSES}`,
  ledger: 'payment',

  fill: (database, world) =>
    database.query(
      `INSERT INTO account SELECT name, balance, balance FROM json_to_recordset($1) AS a (name text, balance integer)`,
      [JSON.stringify(accounts(world))],
    ),

  refill: (database) =>
    database.query(
      `UPDATE account SET initial = initial + 10000000, balance = balance + 10000000 WHERE name LIKE 'customer-%'`,
    ),

  listen: ({ database, outbox, transport, world, log, metrics, moods, keeping, callRetention }) =>
    createParticipant('payment', {
      ...keeping,
      callRetention,
      database,
      outbox,
      transport,
      log,
      metrics,
      retry: RETRY,
      concurrency: CONCURRENCY,
      handlers: [
        handle(ChargePayment, { reply: PaymentCharged }, async ({ orderId, customer, amount }, context) => {
          const { tx, attempt } = context;
          moods.admit('charge');
          await moods.first('charge', orderId);
          if (chance(world, orderId, 'card') < 0.03) throw new Rejection('card declined');
          if (!(await move(tx, customer, tillOf(orderId), amount))) throw new Rejection('not enough money');
          await note(tx, [...entry(context, orderId, 'charge'), customer, amount]);
          await moods.last('charge', orderId, attempt);
          return { paymentId: `payment-for-${orderId}` };
        }),
        handle(RefundPayment, { compensates: ChargePayment }, async ({ orderId, customer, amount }, context) => {
          const { tx, attempt } = context;
          moods.admit('refund');
          await move(tx, tillOf(orderId), customer, amount);
          await note(tx, [...entry(context, orderId, 'refund'), customer, amount]);
          await moods.last('refund', orderId, attempt);
        }),
      ],
    }),
};

/** False, and nothing moved, when there is not enough. Rows in the order of their names, so that nobody waits in a circle. */
async function move(tx: PoolClient, from: string, to: string, amount: number): Promise<boolean> {
  const parts = [
    { name: from, by: -amount },
    { name: to, by: amount },
  ].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  for (const { name, by } of parts) {
    const changed = await tx.query('UPDATE account SET balance = balance + $2 WHERE name = $1 AND balance + $2 >= 0', [
      name,
      by,
    ]);
    if (changed.rowCount !== 1) return false;
  }
  return true;
}

async function note(tx: PoolClient, values: readonly unknown[]): Promise<void> {
  await tx.query(
    `INSERT INTO payment (message_id, order_id, run_id, call, effect, customer, amount) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
    [...values],
  );
}
