/**
 * Whom webhooks.ts sends to, in a process of its own: takes everything and answers 204. Tells its parent its port, and at the end of its
 * life it is killed.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const server = createServer((request, response) => {
  request.resume();
  request.on('end', () => response.writeHead(204).end());
});
// Whoever sends by hand does not send again what meets a connection that was just closed.
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
process.on('disconnect', () => process.exit(0));
