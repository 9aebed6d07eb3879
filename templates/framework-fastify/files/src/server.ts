/** The HTTP service. Sagas and consumers run beside it: `npm run dev` on your machine, `npx holdfast start` in production. */
import { fastify } from 'fastify';
import { holdfastPlugin, withIdempotencyKey } from 'holdfast/fastify';
import { z } from 'zod';
import { database } from './database.js';
import { idempotency } from './idempotency.js';
import { NewOrder, place } from './orders.js';
import { stateOf } from './queries.js';
import { createTables } from './tables.js';

async function main(): Promise<void> {
  await createTables(database);
  const app = fastify();
  // Adds app.holdfast, /livez and /readyz.
  await app.register(holdfastPlugin, { database });

  app.post(
    '/orders',
    // In a service of your own the scope is who is logged in.
    withIdempotencyKey(idempotency, { scope: () => 'all' }, async (request, reply, context) => {
      const { data, error } = NewOrder.safeParse(request.body);
      if (data === undefined) return reply.code(400).send({ error: z.prettifyError(error) });
      return reply.code(202).send(await place(context, data));
    }),
  );

  app.get<{ Params: { id: string } }>('/orders/:id', async (request, reply) => {
    const state = await stateOf(request.params.id);
    if (state === undefined) return reply.code(404).send({ error: 'There is no such order.' });
    return { orderId: request.params.id, state };
  });

  const url = await app.listen({ port: Number(process.env['PORT'] ?? 3000) });
  console.log(`orders are taken at ${url}/orders`);
}

void main();
