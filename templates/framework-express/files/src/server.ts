/** The HTTP service. Sagas and consumers run beside it: `npm run dev` on your machine, `npx holdfast start` in production. */
import express from 'express';
import { jsonAnswer, sendAnswer } from 'holdfast/http';
import { z } from 'zod';
import { database } from './database.js';
import { idempotency } from './idempotency.js';
import { NewOrder, place } from './orders.js';
import { stateOf } from './queries.js';
import { createTables } from './tables.js';

const app = express();
app.use(express.json());

app.post('/orders', async (request, response) => {
  const { method, originalUrl: url, body } = request;
  // In a service of your own: who is logged in.
  const asked = { method, url, key: request.headers['idempotency-key'], scope: 'all', body: body as unknown };
  const answer = await idempotency.answer(asked, async (context) => {
    const { data, error } = NewOrder.safeParse(body);
    return data === undefined
      ? jsonAnswer(400, { error: z.prettifyError(error) })
      : jsonAnswer(202, await place(context, data));
  });
  sendAnswer(response, answer);
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
