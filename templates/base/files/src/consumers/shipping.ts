/** Hears of accepted orders. Its row and the mark "I have handled this message" are one commit: a message that comes twice ships once. */
import { createConsumer } from 'holdfast';
import { unitOfWork } from '../database.js';
import { OrderAccepted } from '../messages.js';
import { addShipment } from '../queries.js';
import { transport } from '../transport.js';

export const shipping = createConsumer('shipping', {
  ...unitOfWork,
  transport,
  handlers: (on) => [on(OrderAccepted, (shipment, { tx }) => addShipment(tx, shipment))],
});
