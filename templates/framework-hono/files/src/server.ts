/** The HTTP service. Sagas and consumers run beside it: `npm run dev` on your machine, `npx holdfast start` in production. */
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { idempotencyKeys } from 'holdfast/hono';
import { z } from 'zod';
import { database } from './database.js';
import { idempotency } from './idempotency.js';
import { NewOrder, place } from './orders.js';
import { stateOf } from './queries.js';
import { createTables } from './tables.js';

const app = new Hono();

// In a service of your own the scope is who is logged in.
app.post('/orders', idempotencyKeys(idempotency, { scope: () => 'all' }), async (c) => {
  const { data, error } = NewOrder.safeParse(await c.req.json().catch(() => null));
  if (data === undefined) return c.json({ error: z.prettifyError(error) }, 400);
  return c.json(await place(c.var.idempotent, data), 202);
});

app.get('/orders/:id', async (c) => {
  const state = await stateOf(c.req.param('id'));
  return state === undefined
    ? c.json({ error: 'There is no such order.' }, 404)
    : c.json({ orderId: c.req.param('id'), state });
});

async function main(): Promise<void> {
  await createTables(database);
  const port = Number(process.env['PORT'] ?? 3000);
  serve({ fetch: app.fetch, port }, () => console.log(`orders are taken at http://127.0.0.1:${port}/orders`));
}

void main();
