/**
 * A consumer that reports each message to its parent and hangs, to be killed. Arguments: Redis URL, destination, 'ordered' or not.
 * Run by dead-consumers.test.ts.
 */
import { createRedisStreamsTransport } from '../../../src/transport/redis-streams/redis-streams-transport.ts';

const [url, destination, order] = process.argv.slice(2);
const transport = createRedisStreamsTransport({ connection: url!, lockDuration: 400, stalledInterval: 150 });
const receiver = transport.receiver(
  destination!,
  ({ wire, redeliveries }) => {
    const { data } = JSON.parse(String(wire)) as { data: { n: number } };
    process.send!({ n: data.n, redeliveries });
    return new Promise(() => {});
  },
  { concurrency: 8, ordered: order === 'ordered' },
);
await receiver.start();
