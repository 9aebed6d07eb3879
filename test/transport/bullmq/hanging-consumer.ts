/**
 * A consumer that takes one message, reports it to its parent and hangs, to be killed. Arguments: Redis URL, destination.
 * Run by redis-transport.test.ts.
 */
import { createBullmqTransport } from '../../../src/transport/bullmq/redis-transport.ts';

const [url, destination] = process.argv.slice(2);
const receiver = createBullmqTransport({ connection: url!, lockDuration: 400, stalledInterval: 150 }).receiver(
  destination!,
  ({ redeliveries }) => {
    process.send!({ redeliveries });
    return new Promise(() => {});
  },
  { concurrency: 1, ordered: true },
);
await receiver.start();
