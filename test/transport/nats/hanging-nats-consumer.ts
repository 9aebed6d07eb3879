/**
 * A consumer that takes one message and hangs. Arguments: URL of NATS, destination. Run by outages.test.ts.
 */
import { createNatsTransport } from '../../../src/transport/nats/nats-transport.ts';
import { takeOneAndHang } from '../hang.ts';

const [url, destination] = process.argv.slice(2);
await takeOneAndHang(createNatsTransport({ connection: url!, claimDuration: 400 }), destination!);
