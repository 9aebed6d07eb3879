/**
 * A module of a user that passes on what it was given, so that its declarations have to name every type.
 */
import { Redis } from 'ioredis';
import { z } from 'zod';
import * as holdfast from 'holdfast';
import * as bullmq from 'holdfast/bullmq';
import * as testing from 'holdfast/testing';
import { createLogger } from 'holdfast/pino';
import { createPromMetrics } from 'holdfast/prometheus';
import { client, database, OrderPlaced, placeOrder, ReserveStock, StockReserved, transport } from './world.ts';

export const operations = {
  acted: () => holdfast.actOnRuns(database, { kind: 'retry' }, {}, { actor: 'a', reason: 'r' }),
  diagnosis: () => holdfast.doctor(database),
  found: () => holdfast.showMessage(database, 'id'),
  parked: () => holdfast.listParked(database),
  plan: () => holdfast.planReplay(database, { subscription: 'main' }),
  run: () => holdfast.showRun(database, 'id'),
  runs: () => holdfast.listRuns(database),
  sagas: () => holdfast.sagaStatus(database),
  status: () => holdfast.relayStatus(database),
};

export const outbox = holdfast.createOutbox();
export const sent = () => outbox.send(client, OrderPlaced, { orderId: 'o', total: 1 });
export const relay = holdfast.createRelay({
  database,
  subscriptions: [{ name: 'main', routes: [{ topics: '**', to: 'all' }], transport }],
});
export const states = relay.states;
export const worker = holdfast.createWorker({ database, sagas: [placeOrder] });
export const { progress, sagas } = worker;
export const started = () => sagas.start(placeOrder, { orderId: 'o' });
export const handler = holdfast.on(OrderPlaced, (_order, { tx }) => tx.query('SELECT 1'));
export const own = holdfast.handlersFor<{ readonly mine: true }>();
export const commands = [holdfast.handle(ReserveStock, { reply: StockReserved }, () => ({ shelf: 'a' }))];
export const billing = holdfast.createConsumer('billing', { database, transport, handlers: [handler] });
export const stock = holdfast.createParticipant('stock', { database, transport, handlers: commands });
export const steps = {
  local: holdfast.step({ run: (input: { readonly a: string }) => input.a, compensate: () => {} }),
  remote: holdfast.command(ReserveStock, { reply: StockReserved }),
  news: holdfast.emit(OrderPlaced),
  whole: holdfast.child(placeOrder),
  within: holdfast.transaction({ run: (_input: string, { tx }) => tx.query('SELECT 1').then(() => 1) }),
};
export const flow = holdfast.saga({
  name: 'flow',
  input: z.object({}),
  signals: { end: z.string() },
  steps,
  run: async (context) => ({ end: await context.waitFor('end'), shelf: await context.steps.remote({ orderId: 'o' }) }),
});
export type Result = holdfast.SagaResult<typeof flow>;
export class Orders {
  readonly handles = new Map<string, Awaited<ReturnType<typeof started>>>();
  start = () => worker.sagas.start(flow, {});
}
export const window = holdfast.createRedisWindow({ connection: new Redis() });
export const brokers = { redis: bullmq.createBullmqTransport, postgres: bullmq.createBullmqPostgresTransport };
export const test = testing.testSagas({ sagas: [flow] });
export const run = () => test.start(flow, {});
export const answers = [testing.respond(ReserveStock, () => ({ shelf: 'a' }))];
export const crashes = () => testing.everyCrashPoint(flow, {}, () => {});
export const observers = { log: createLogger(), metrics: createPromMetrics };
export const testDatabase = () => testing.createTestDatabase();
export const messages = testing.testMessages({ consumers: { billing: { handlers: [handler] } } });
export const messagesOn = () => testing.testMessagesOn(database, { participants: { stock: { handlers: commands } } });
