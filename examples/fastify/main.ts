/**
 * Holdfast in Fastify: `DATABASE_URL=postgres://… npx tsx examples/fastify/main.ts`
 */
import { fastify, type FastifyRequest } from 'fastify';
import { holdfastPlugin, withIdempotencyKey } from 'holdfast/fastify';
import { Order, openShop } from '../shop/shop.ts';

const shop = await openShop();
const app = fastify();

// Starts the worker with the application and stops it with it; adds app.holdfast, /livez and /readyz.
await app.register(holdfastPlugin, {
  database: shop.database,
  outbox: shop.outbox,
  sagas: shop.worker.sagas,
  services: [shop.worker],
});

// In a service of your own: who is logged in.
const scope = (request: FastifyRequest): string => String(request.headers['x-user'] ?? 'nobody');

app.post(
  '/orders',
  withIdempotencyKey(shop.idempotency, { scope }, async (request, reply, context) => {
    const order = Order.safeParse(request.body);
    if (!order.success) return reply.code(400).send({ message: order.error.message });
    await shop.place(context, order.data);
    return reply.code(201).send({ orderId: order.data.orderId });
  }),
);

app.get('/orders/:orderId', async (request: FastifyRequest<{ Params: { orderId: string } }>, reply) => {
  const state = await shop.stateOf(request.params.orderId);
  return state === null ? reply.callNotFound() : { state };
});

app.addHook('onClose', () => shop.database.close());
console.log(`listening on ${await app.listen({ port: Number(process.env['PORT'] ?? 3000), host: '127.0.0.1' })}`);
process.once('SIGTERM', () => void app.close());
