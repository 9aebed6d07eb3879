/** The HTTP service. Sagas and consumers run beside it: `npm run dev` on your machine, `npx holdfast start` in production. */
import express from 'express';
import { z } from 'zod';
import { database } from './database.js';
import { place, stateOf } from './orders.js';
import { createTables } from './tables.js';

const NewOrder = z.object({ item: z.string().min(1), amount: z.number().positive() });

const app = express();
app.use(express.json());

app.post('/orders', async (request, response) => {
  const { data, error } = NewOrder.safeParse(request.body);
  if (data === undefined) response.status(400).json({ error: z.prettifyError(error) });
  else response.status(202).json(await place(data));
});

app.get('/orders/:id', async (request, response) => {
  const state = await stateOf(request.params.id);
  if (state === undefined) response.status(404).json({ error: 'There is no such order.' });
  else response.json({ orderId: request.params.id, state });
});

async function main(): Promise<void> {
  await createTables(database);
  const port = Number(process.env['PORT'] ?? 3000);
  app.listen(port, () => console.log(`orders are taken at http://127.0.0.1:${port}/orders`));
}

void main();
