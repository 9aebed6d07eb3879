/** The HTTP service. Sagas and consumers run beside it: `npm run dev` on your machine, `npx holdfast start` in production. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { jsonAnswer, sendAnswer, type HttpAnswer } from 'holdfast/http';
import { z } from 'zod';
import { database } from './database.js';
import { idempotency } from './idempotency.js';
import { NewOrder, place } from './orders.js';
import { stateOf } from './queries.js';
import { createTables } from './tables.js';

async function placed(request: IncomingMessage): Promise<HttpAnswer> {
  const body = parsed(await text(request));
  const { method = 'POST', url = '/', headers } = request;
  // In a service of your own: who is logged in.
  const scope = 'all';
  return idempotency.answer({ method, url, key: headers['idempotency-key'], scope, body }, async (context) => {
    const { data, error } = NewOrder.safeParse(body);
    return data === undefined
      ? jsonAnswer(400, { error: z.prettifyError(error) })
      : jsonAnswer(202, await place(context, data));
  });
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    // It is no order, and refused as such.
    return null;
  }
}

async function answer(request: IncomingMessage): Promise<HttpAnswer> {
  const { pathname } = new URL(request.url ?? '/', 'http://localhost');
  if (request.method === 'POST' && pathname === '/orders') return placed(request);
  const [, orderId] = /^\/orders\/([^/]+)$/.exec(pathname) ?? [];
  const state = request.method === 'GET' && orderId !== undefined ? await stateOf(orderId) : undefined;
  return state === undefined
    ? jsonAnswer(404, { error: 'There is nothing here.' })
    : jsonAnswer(200, { orderId, state });
}

async function main(): Promise<void> {
  await createTables(database);
  const port = Number(process.env['PORT'] ?? 3000);
  createServer((request: IncomingMessage, response: ServerResponse) => {
    answer(request)
      .catch((error: unknown) => {
        console.error(error);
        return jsonAnswer(500, { error: 'That went wrong here.' });
      })
      .then((found) => sendAnswer(response, found));
  }).listen(port, () => console.log(`orders are taken at http://127.0.0.1:${port}/orders`));
}

void main();
