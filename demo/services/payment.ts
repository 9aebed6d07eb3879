/**
 * The payment service: charges the customer, if the balance bears it. Its gateway is slow-witted: some calls time out.
 */
import { consumer, on } from '../../src/index.ts';
import { PaymentCaptured, PaymentDeclined, StockReserved } from '../messages.ts';
import { accounts, chance, type World } from '../world.ts';
import { LEDGER, RETRY, type DemoService } from './service.ts';

export const payment: DemoService = {
  tables: `
    CREATE TABLE account (
      customer text PRIMARY KEY, initial integer NOT NULL, balance integer NOT NULL CHECK (balance >= 0),
      payments integer NOT NULL DEFAULT 0);
    CREATE TABLE payment (
      ${LEDGER}, customer text NOT NULL, n integer NOT NULL, amount integer NOT NULL, captured boolean NOT NULL)`,
  ledger: 'payment',

  fill: (database, world) =>
    database.query(
      `INSERT INTO account SELECT customer, balance, balance
       FROM json_to_recordset($1) AS a (customer text, balance integer)`,
      [JSON.stringify(accounts(world))],
    ),

  consumer: ({ database, outbox, transport, world, log, metrics }) =>
    consumer('payment', {
      database,
      outbox,
      transport,
      log,
      metrics,
      retry: RETRY,
      handlers: [
        on(StockReserved, async ({ orderId, customer, amount, sku, quantity }, { tx, message, send, attempt }) => {
          // The row lock puts the payments of a customer in order: number n is committed before n + 1 is given out.
          const { rows } = await tx.query<{ balance: number; n: number }>(
            'UPDATE account SET payments = payments + 1 WHERE customer = $1 RETURNING balance, payments AS n',
            [customer],
          );
          const { balance, n } = rows[0]!;
          const captured = balance >= amount;
          if (captured) {
            await tx.query('UPDATE account SET balance = balance - $2 WHERE customer = $1', [customer, amount]);
            await send(PaymentCaptured, { orderId, customer, amount, n });
          } else {
            await send(PaymentDeclined, { orderId, customer, sku, quantity, n });
          }
          await tx.query(
            'INSERT INTO payment (message_id, order_id, customer, n, amount, captured) VALUES ($1, $2, $3, $4, $5, $6)',
            [message.id, orderId, customer, n, amount, captured],
          );
          askGateway(world, orderId, attempt);
        }),
      ],
    }),
};

/** Fails for some orders once, for a few more often. It comes last, when all is written and everything must be undone. */
function askGateway(world: World, orderId: string, attempt: number): void {
  const luck = chance(world, orderId, 'gateway');
  const failures = luck < 0.01 ? 3 : luck < 0.06 ? 1 : 0;
  if (attempt <= failures) throw new Error('The payment gateway did not answer.');
}
