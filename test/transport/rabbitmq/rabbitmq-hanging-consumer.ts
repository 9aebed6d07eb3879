/**
 * A consumer of an ordered queue that takes one message and hangs. Arguments: URL of RabbitMQ, destination. Run by rabbitmq-transport.test.ts.
 */
import { createRabbitmqTransport } from '../../../src/transport/rabbitmq/rabbitmq-transport.ts';
import { takeOneAndHang } from '../hang.ts';

const [url, destination] = process.argv.slice(2);
const queues = { [destination!]: { ordered: true } };
await takeOneAndHang(createRabbitmqTransport({ connection: url!, queues }), destination!);
