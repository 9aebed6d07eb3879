/**
 * Holdfast in Express 5, by plain functions: `DATABASE_URL=postgres://… npx tsx examples/express/main.ts`
 */
import type { AddressInfo } from 'node:net';
import express, { type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import { type IdempotentHandler, createServiceGroup, jsonAnswer, sendAnswer } from 'holdfast/http';
import type { PoolClient } from 'pg';
import { Order, openShop } from '../shop/shop.ts';

const shop = await openShop();
const services = createServiceGroup({ database: shop.database, services: [shop.worker] });
const app = express();
app.use(express.json());

/** A handler that answers once for each idempotency key, in the transaction that it is given. */
function once(handler: (request: Request) => IdempotentHandler<PoolClient>): RequestHandler {
  return async (request, response) => {
    const { method, originalUrl: url } = request;
    // In a service of your own: who is logged in.
    const scope = request.get('x-user') ?? 'nobody';
    const asked = { method, url, key: request.headers['idempotency-key'], scope, body: request.body as unknown };
    // Express 5 takes what is rejected here to the handlers of errors; it was rolled back before.
    sendAnswer(response, await shop.idempotency.answer(asked, handler(request)));
  };
}

app.post(
  '/orders',
  once((request) => async (context) => {
    const order = Order.safeParse(request.body);
    if (!order.success) return jsonAnswer(400, { message: order.error.message });
    await shop.place(context, order.data);
    return jsonAnswer(201, { orderId: order.data.orderId });
  }),
);

app.get('/orders/:orderId', async (request, response) => {
  const state = await shop.stateOf(request.params.orderId);
  if (state === null) response.status(404).json({ message: 'no such order' });
  else response.json({ state });
});

app.get('/readyz', async (_request, response) => {
  const { ok, body } = await services.ready();
  response.status(ok ? 200 : 503).json(body);
});

// Four parameters: that is how Express tells a handler of errors.
app.use((error: unknown, _request: Request, response: Response, next: NextFunction) => {
  if (response.headersSent) return next(error);
  console.error(error);
  response.status(500).json({ message: 'it failed, and nothing of it was kept' });
});

await services.start();
const server = app.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1', () =>
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`),
);

async function stop(): Promise<void> {
  await new Promise((resolve) => server.close(resolve));
  await services.stop();
  await shop.database.close();
}

process.once('SIGTERM', () => void stop());
