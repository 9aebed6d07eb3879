/**
 * Holdfast in hono: `DATABASE_URL=postgres://… npx tsx examples/hono/main.ts`
 */
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { createDashboard, tokenAuthenticator } from 'holdfast/dashboard';
import { idempotencyKeys } from 'holdfast/hono';
import { createServiceGroup } from 'holdfast/http';
import { Order, openShop } from '../shop/shop.ts';

const shop = await openShop();
const services = createServiceGroup({ database: shop.database, services: [shop.worker] });
const app = new Hono();

// In a service of your own: who is logged in.
const perUser = idempotencyKeys(shop.idempotency, { scope: (context) => context.req.header('x-user') ?? 'nobody' });

app.post('/orders', perUser, async (context) => {
  const order = Order.safeParse(await context.req.json());
  if (!order.success) return context.json({ message: order.error.message }, 400);
  await shop.place(context.var.idempotent, order.data);
  return context.json({ orderId: order.data.orderId }, 201);
});

app.get('/orders/:orderId', async (context) => {
  const state = await shop.stateOf(context.req.param('orderId'));
  return state === null ? context.notFound() : context.json({ state });
});

app.get('/readyz', async (context) => {
  const { ok, body } = await services.ready();
  return context.json(body, ok ? 200 : 503);
});

const token = process.env['OPS_TOKEN'];
const dashboard =
  token === undefined
    ? null
    : createDashboard({ database: shop.database, authenticators: [tokenAuthenticator([token])], basePath: '/ops' });
if (dashboard !== null) app.all('/ops/*', (context) => dashboard.fetch(context.req.raw, context.env));

await services.start();
const server = serve(
  { fetch: app.fetch, port: Number(process.env['PORT'] ?? 3000), hostname: '127.0.0.1' },
  ({ port }) => console.log(`listening on http://127.0.0.1:${port}`),
);

async function stop(): Promise<void> {
  await new Promise((resolve) => server.close(resolve));
  await dashboard?.close();
  await services.stop();
  await shop.database.close();
}

process.once('SIGTERM', () => void stop());
