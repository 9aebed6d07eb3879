/**
 * A consumer that takes one message and hangs. Arguments: Redis URL, destination. Run by redis-transport.test.ts.
 */
import { createBullmqTransport } from '../../../src/transport/bullmq/redis-transport.ts';
import { takeOneAndHang } from '../hang.ts';

const [url, destination] = process.argv.slice(2);
await takeOneAndHang(
  createBullmqTransport({ connection: url!, lockDuration: 400, stalledInterval: 150 }),
  destination!,
);
