/** Receives from an ordered destination of RabbitMQ, says so to its parent, and never comes to a verdict. */
import { createRabbitmqTransport } from '../../../src/transport/rabbitmq/rabbitmq-transport.ts';

const [, , connection = '', destination = ''] = process.argv;
const transport = createRabbitmqTransport({ connection, queues: { [destination]: { ordered: true } } });
const receiver = transport.receiver(
  destination,
  ({ redeliveries }) => {
    process.send?.({ redeliveries });
    return new Promise(() => {});
  },
  { concurrency: 1, ordered: true },
);
await receiver.start();
