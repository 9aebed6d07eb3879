/**
 * Two services, each with its database, relay and inbox: orders runs a saga and tells of what was placed, payments takes its commands and
 * hears of it. And databases that do not answer: one that is away, and one that takes connections and says nothing.
 */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { z } from 'zod';
import { createConsumer } from '../../src/inbox/consumer.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import { message } from '../../src/message/message-type.ts';
import { messagePath } from '../../src/operations/path/message-path.ts';
import { showRun } from '../../src/operations/sagas/sagas.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { createSagas } from '../../src/saga/client/client.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { handle } from '../../src/saga/participant/handle.ts';
import { createParticipant } from '../../src/saga/participant/participant.ts';
import { createWorker } from '../../src/saga/worker/worker.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { eventually } from '../support/eventually.ts';
import { createTestDatabase } from '../support/servers.ts';

const Order = z.object({ orderId: z.string() });
export const OrderPlaced = message('order.placed', { schema: Order, key: ({ orderId }) => orderId });
const PaymentBooked = message('payment.booked', { schema: Order, key: ({ orderId }) => orderId });
const Charge = message('payment.charge', { schema: Order, key: ({ orderId }) => orderId });

export const placeOrder = saga({
  name: 'place-order',
  input: Order,
  steps: { charge: command(Charge) },
  async run({ input, steps }) {
    await steps.charge(input);
  },
});

export interface Placed {
  readonly messageId: string;
  readonly runId: string;
}

export interface TwoServices {
  readonly orders: Database;
  readonly payments: Database;
  readonly urls: { readonly orders: string; readonly payments: string };
  /** The order, its message and its run are one transaction; resolves when everybody has done what follows. */
  place(orderId: string): Promise<Placed>;
  dispose(): Promise<void>;
}

export async function openTwoServices(): Promise<TwoServices> {
  const [one, two] = await Promise.all([createTestDatabase({ migrate: true }), createTestDatabase({ migrate: true })]);
  const orders = openDatabase({ url: one.url, max: 10 });
  const payments = openDatabase({ url: two.url, max: 10 });
  const transport = createMemoryTransport();
  const outbox = createOutbox();
  const routes = [
    { topics: 'order.placed', to: 'ledger' },
    { topics: 'payment.charge', to: 'payment' },
    { topics: 'payment.booked', to: 'news' },
    { topics: 'saga.reply', to: 'replies' },
  ];
  const relayOf = (database: Database) =>
    createRelay({ database, subscriptions: [{ name: 'main', transport, from: 'beginning', routes }] });
  const ledger = createConsumer('ledger', {
    transport,
    database: payments,
    outbox,
    handlers: [on(OrderPlaced, async (order, { send }) => void (await send(PaymentBooked, order)))],
  });
  const news = createConsumer('news', {
    transport,
    database: orders,
    handlers: [on(PaymentBooked, async () => {})],
  });
  const payment = createParticipant('payment', {
    transport,
    database: payments,
    handlers: [handle(Charge, {}, async () => {})],
  });
  const worker = createWorker({
    database: orders,
    sagas: [placeOrder],
    replies: { transport, destination: 'replies' },
  });
  const services = [relayOf(orders), relayOf(payments), ledger, news, payment, worker];
  await Promise.all(services.map((service) => service.start()));
  const sagas = createSagas({ database: orders, sagas: [placeOrder] });
  return {
    orders,
    payments,
    urls: { orders: one.url, payments: two.url },
    async place(orderId) {
      const placed = await orders.transaction(async (tx) => {
        const { id: messageId } = await outbox.send(tx, OrderPlaced, { orderId });
        const { id: runId } = await sagas.start(tx, placeOrder, { orderId }, { key: orderId });
        return { messageId, runId };
      });
      await eventually(
        'the order to be done, and everybody to have heard of it',
        async () => {
          if ((await showRun(orders, placed.runId)).run.status !== 'completed') return false;
          const { consumers } = await messagePath(orders, placed.messageId);
          if (consumers.length > 0) throw new Error('The ledger is in another database.');
          const heard = await orders.query(`SELECT FROM ${orders.schema}.inbox WHERE consumer = 'news'`);
          return heard.rowCount !== 0;
        },
        30_000,
      );
      return placed;
    },
    async dispose() {
      await worker.stop();
      await Promise.all(services.map((service) => service.stop()));
      await transport.close();
      await Promise.all([orders.close(), payments.close()]);
      await Promise.all([one.drop(), two.drop()]);
    },
  };
}

export interface SilentServer {
  readonly url: string;
  close(): Promise<void>;
}

/** Takes connections, and never says a word. */
export async function startSilentServer(): Promise<SilentServer> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `postgres://nobody@127.0.0.1:${(server.address() as AddressInfo).port}/nothing`,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Nobody listens there. */
export const AWAY = 'postgres://nobody@127.0.0.1:1/nothing';
