/** The HTTP service. Sagas and consumers run beside it: `npm run dev` on your machine, `npx holdfast start` in production. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { z } from 'zod';
import { database } from './database.js';
import { place, stateOf } from './orders.js';
import { createTables } from './tables.js';

const NewOrder = z.object({ item: z.string().min(1), amount: z.number().positive() });

async function answer(request: IncomingMessage): Promise<[status: number, body: object]> {
  const { pathname } = new URL(request.url ?? '/', 'http://localhost');
  if (request.method === 'POST' && pathname === '/orders') {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    let order: unknown = null;
    try {
      order = JSON.parse(Buffer.concat(chunks).toString());
    } catch {
      // It is refused below.
    }
    const { data, error } = NewOrder.safeParse(order);
    return data === undefined ? [400, { error: z.prettifyError(error) }] : [202, await place(data)];
  }
  const [, orderId] = /^\/orders\/([^/]+)$/.exec(pathname) ?? [];
  const state = request.method === 'GET' && orderId !== undefined ? await stateOf(orderId) : undefined;
  return state === undefined ? [404, { error: 'There is nothing here.' }] : [200, { orderId, state }];
}

async function main(): Promise<void> {
  await createTables(database);
  const port = Number(process.env['PORT'] ?? 3000);
  createServer((request: IncomingMessage, response: ServerResponse) => {
    answer(request)
      .catch((error: unknown): [number, object] => {
        console.error(error);
        return [500, { error: 'That went wrong here.' }];
      })
      .then(([status, body]) =>
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body)),
      );
  }).listen(port, () => console.log(`orders are taken at http://127.0.0.1:${port}/orders`));
}

void main();
