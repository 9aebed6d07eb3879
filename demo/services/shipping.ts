/**
 * The shipping service: sends parcels, to each customer in the order in which payments were made. It notes declined payments too,
 * so that it sees a gap should there be one.
 */
import type { PoolClient } from 'pg';
import { consumer, on, type Envelope } from '../../src/index.ts';
import { OrderShipped, PaymentCaptured, PaymentDeclined } from '../messages.ts';
import { chance } from '../world.ts';
import { LEDGER, RETRY, type DemoService } from './service.ts';

export const shipping: DemoService = {
  tables: `CREATE TABLE dispatch (${LEDGER}, customer text NOT NULL, n integer NOT NULL, parcel text)`,
  ledger: 'dispatch',

  consumer: ({ database, outbox, transport, world, log, metrics }) =>
    consumer('shipping', {
      database,
      outbox,
      transport,
      log,
      metrics,
      ordered: true,
      retry: RETRY,
      handlers: [
        on(PaymentCaptured, async (payment, { tx, message, send, attempt }) => {
          const { orderId, customer } = payment;
          const parcel = `parcel-for-${orderId}`;
          await note(tx, message, payment, parcel);
          await send(OrderShipped, { orderId, customer, parcel });
          const jam = chance(world, orderId, 'printer') < 0.01;
          if (jam && attempt === 1) throw new Error('The label printer is jammed.');
        }),
        on(PaymentDeclined, (payment, { tx, message }) => note(tx, message, payment, null)),
      ],
    }),
};

interface NumberedPayment {
  readonly orderId: string;
  readonly customer: string;
  readonly n: number;
}

async function note(tx: PoolClient, message: Envelope, payment: NumberedPayment, parcel: string | null): Promise<void> {
  const { orderId, customer, n } = payment;
  await tx.query('INSERT INTO dispatch (message_id, order_id, customer, n, parcel) VALUES ($1, $2, $3, $4, $5)', [
    message.id,
    orderId,
    customer,
    n,
    parcel,
  ]);
}
