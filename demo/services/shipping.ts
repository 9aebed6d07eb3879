/**
 * The shipping service, a participant: sends parcels. There is no calling them back.
 */
import { handle, createParticipant } from '../../src/index.ts';
import { OrderShipped, ShipOrder } from '../../sagas/messages/order.ts';
import { PAUSES } from './moods.ts';
import { CONCURRENCY, entry, LEDGER, RETRY, type DemoService } from './service.ts';

export const shipping: DemoService = {
  tables: `
    CREATE TABLE dispatch (${LEDGER}, sku text NOT NULL, quantity integer NOT NULL, parcel text NOT NULL);
    ${PAUSES}`,
  ledger: 'dispatch',

  listen: ({ database, outbox, transport, log, metrics, moods, keeping, callRetention }) =>
    createParticipant('shipping', {
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
        handle(ShipOrder, { reply: OrderShipped }, async ({ orderId, sku, quantity }, context) => {
          const { tx, attempt } = context;
          moods.admit('ship');
          await moods.first('ship', orderId);
          const parcel = `parcel-for-${orderId}`;
          await tx.query(
            `INSERT INTO dispatch (message_id, order_id, run_id, call, effect, sku, quantity, parcel)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
            [...entry(context, orderId, 'ship'), sku, quantity, parcel],
          );
          await moods.last('ship', orderId, attempt);
          return { parcel };
        }),
      ],
    }),
};
