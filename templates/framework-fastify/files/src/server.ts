/** The HTTP service. Sagas and consumers run beside it: `npm run dev` on your machine, `npx holdfast start` in production. */
import Fastify from 'fastify';
import { z } from 'zod';
import { database } from './database.js';
import { place, stateOf } from './orders.js';
import { createTables } from './tables.js';

const NewOrder = z.object({ item: z.string().min(1), amount: z.number().positive() });

const app = Fastify();

app.post('/orders', async (request, reply) => {
  const { data, error } = NewOrder.safeParse(request.body);
  if (data === undefined) return reply.code(400).send({ error: z.prettifyError(error) });
  return reply.code(202).send(await place(data));
});

app.get<{ Params: { id: string } }>('/orders/:id', async (request, reply) => {
  const state = await stateOf(request.params.id);
  if (state === undefined) return reply.code(404).send({ error: 'There is no such order.' });
  return { orderId: request.params.id, state };
});

async function main(): Promise<void> {
  await createTables(database);
  const url = await app.listen({ port: Number(process.env['PORT'] ?? 3000) });
  console.log(`orders are taken at ${url}/orders`);
}

void main();
