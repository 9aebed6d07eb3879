/**
 * A consumer that takes one message, reports it to its parent and hangs, to be killed. Arguments: URL of NATS, destination.
 * Run by outages.test.ts.
 */
import { createNatsTransport } from '../../../src/transport/nats/nats-transport.ts';

const [url, destination] = process.argv.slice(2);
const receiver = createNatsTransport({ connection: url!, claimDuration: 400 }).receiver(
  destination!,
  ({ redeliveries }) => {
    process.send!({ redeliveries });
    return new Promise(() => {});
  },
  { concurrency: 1, ordered: true },
);
await receiver.start();
