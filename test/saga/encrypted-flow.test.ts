/**
 * A canary is sent through everything that keeps values, with a codec: it arrives, and stands in no table, no queue, no log, no metric, no
 * span, and in nothing that the command line or the dashboard's API show.
 */
import { Redis } from 'ioredis';
import { Registry } from 'prom-client';
import { afterAll, afterEach, beforeAll, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { createConsumer } from '../../src/inbox/consumer.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import { createAesGcmCodec } from '../../src/message/aes-gcm-codec.ts';
import { message } from '../../src/message/message-type.ts';
import { listParked, showParked } from '../../src/operations/parked/parked.ts';
import { searchMessages } from '../../src/operations/reads/search-messages.ts';
import { showRun } from '../../src/operations/sagas/sagas.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { createRelay } from '../../src/relay/relay.ts';
import type { Logger } from '../../src/runtime/log.ts';
import { createPromMetrics } from '../../src/runtime/prom-metrics.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { child } from '../../src/saga/kinds/child.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { emit } from '../../src/saga/kinds/emit.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import { handle } from '../../src/saga/participant/handle.ts';
import { createParticipant } from '../../src/saga/participant/participant.ts';
import { createSagas } from '../../src/saga/client/client.ts';
import { createBullmqTransport } from '../../src/transport/bullmq/redis-transport.ts';
import { eventually } from '../support/eventually.ts';
import { rowsWith } from '../support/rows-with.ts';
import { sharedRedisUrl, uniquePrefix } from '../support/servers.ts';
import { startTracing } from '../support/tracing.ts';
import { openLab, type Lab } from './lab.ts';

const CANARY = 'canary-4111-1111';
const keys = { k1: Buffer.alloc(32, 1).toString('base64') };
const codec = createAesGcmCodec({ keys });

const Text = z.object({ text: z.string() });
const Charge = message('hidden.charge', { schema: Text });
const Charged = message('hidden.charged', { schema: Text });
const Refund = message('hidden.refund', { schema: Text });
const Told = message('hidden.told', { schema: Text });
const Later = message('hidden.later', { schema: Text });

const inner = saga({
  name: 'hidden-child',
  input: Text,
  steps: { echo: step({ run: ({ text }: { text: string }) => text }) },
  run: async ({ steps, input }) => steps.echo(input),
});
const failed = new Set<string>();
const flow = saga({
  name: 'hidden',
  input: Text.extend({ end: z.enum(['well', 'badly']) }),
  signals: { word: Text },
  steps: {
    think: step({
      run({ text }: { text: string }, { idempotencyKey }) {
        // The first attempt fails, and is recorded with what it says.
        if (!failed.has(idempotencyKey)) {
          failed.add(idempotencyKey);
          throw new Error(`no ${text}`);
        }
        return { text };
      },
      retry: { attempts: 2, base: 0 },
    }),
    note: transaction({ run: async ({ text }: { text: string }) => ({ text }), compensate: async () => {} }),
    charge: command(Charge, { reply: Charged, compensate: { message: Refund, payload: ({ input }) => input } }),
    tell: emit(Told),
    nest: child(inner),
  },
  async run({ steps, input, waitFor }) {
    const { text } = await steps.think(input);
    await steps.note({ text });
    const charged = await steps.charge({ text });
    await steps.tell(charged);
    const nested = await steps.nest({ text: charged.text });
    const word = await waitFor('word');
    if (input.end === 'badly') throw new Error(`bad ${word.text}`);
    return `${nested} ${word.text}`;
  },
});

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

/** Values of a Redis under a prefix that have the text. */
async function queuedWith(prefix: string, text: string): Promise<readonly string[]> {
  const redis = new Redis(sharedRedisUrl());
  const found: string[] = [];
  for (const key of await redis.keys(`${prefix}*`)) {
    const value =
      (await redis.type(key)) === 'hash' ? JSON.stringify(await redis.hgetall(key)) : ((await redis.dump(key)) ?? '');
    if (value.includes(text)) found.push(key);
  }
  redis.disconnect();
  return found;
}

it('arrives everywhere, and can be read nowhere', async () => {
  const lines: string[] = [];
  const say = (fields: object, text: string): void => {
    const plain = (_: string, value: unknown): unknown =>
      value instanceof Error
        ? { name: value.name, message: value.message, stack: value.stack, cause: value.cause }
        : value;
    lines.push(`${text} ${JSON.stringify(fields, plain)}`);
  };
  const log: Logger = { debug: say, info: say, warn: say, error: say, child: () => log };
  const registry = new Registry();
  const tracing = startTracing();
  onTestFinished(() => tracing.stop());
  const metrics = createPromMetrics(registry);
  const prefix = uniquePrefix();
  const transport = createBullmqTransport({ connection: sharedRedisUrl(), prefix });
  const { database } = lab;
  const common = { database, transport, redeliveryHorizon: '1d', codec, log, metrics } as const;
  const charged: string[] = [];
  const refunded: string[] = [];
  const payment = createParticipant('payment', {
    ...common,
    handlers: [
      handle(Charge, { reply: Charged }, async ({ text }) => {
        charged.push(text);
        return { text };
      }),
      handle(Refund, { compensates: Charge, reply: Charged }, async ({ text }, { command: paid, reply }) => {
        refunded.push(`${text} ${paid?.text ?? ''} ${reply?.text ?? ''}`);
      }),
    ],
  });
  const listener = createConsumer('listener', {
    ...common,
    retry: { attempts: 1 },
    handlers: [
      on(Told, ({ text }) => {
        throw new Error(`cannot bear ${text}`);
      }),
    ],
  });
  const relay = createRelay({
    database,
    log,
    metrics,
    subscriptions: [
      {
        name: 'main',
        transport,
        routes: [
          { topics: ['hidden.charge', 'hidden.refund'], to: 'payment' },
          { topics: 'hidden.told', to: 'listener' },
          { topics: 'saga.reply', to: 'saga-replies' },
          { topics: 'hidden.later', to: 'nobody' },
        ],
      },
    ],
  });
  onTestFinished(async () => {
    await Promise.all([payment.stop(), listener.stop(), relay.stop()]);
    await transport.close();
  });
  const worker = await lab.worker([flow, inner], { replies: { transport }, codec, log, metrics });
  await Promise.all([payment.start(), listener.start(), relay.start()]);

  const sagas = createSagas({ database, sagas: [flow, inner], codec });
  const outbox = createOutbox({ codec });
  const start = (end: 'well' | 'badly') =>
    database.transaction(async (tx) => {
      await outbox.send(tx, Later, { text: CANARY }, { delay: '1h' });
      await outbox.send(tx, Later, { text: CANARY });
      return sagas.start(tx, flow, { text: CANARY, end }, { key: end });
    });
  const [well, badly] = [await start('well'), await start('badly')];
  for (const run of [well, badly]) {
    await lab.untilEvent(run.id, 'done', 'nest');
    await run.signal('word', { text: CANARY });
  }
  expect(await well.result()).toBe(`${CANARY} ${CANARY}`);
  const error: unknown = await badly.result().catch((thrown: unknown) => thrown);
  expect((error as Error).message).toContain(`bad ${CANARY}`);
  expect(charged).toEqual([CANARY, CANARY]);
  expect(refunded).toEqual([`${CANARY} ${CANARY} ${CANARY}`]);
  await eventually('the listener to park', async () => (await listParked(database, { kind: 'consumer' })).length === 2);

  // Started once more under its key: the same run, and no other input.
  const again = await sagas.start(flow, { text: CANARY, end: 'well' }, { key: 'well' });
  expect([again.id, again.created, again.sameInput]).toEqual([well.id, false, true]);

  expect(await rowsWith(lab.test.pool, CANARY)).toEqual([]);
  expect((await rowsWith(lab.test.pool, '$enc')).length).toBeGreaterThan(10);
  expect(await queuedWith(prefix, CANARY)).toEqual([]);
  expect(await queuedWith(prefix, '$enc')).not.toEqual([]);
  expect(lines.filter((line) => line.includes(CANARY))).toEqual([]);
  expect(lines.length).toBeGreaterThan(3);
  expect(await registry.metrics()).not.toContain(CANARY);
  const spans = tracing
    .spans()
    .map(({ name, attributes, events, status, resource }) =>
      JSON.stringify([name, attributes, events, status, resource.attributes]),
    );
  expect(spans.filter((span) => span.includes(CANARY))).toEqual([]);
  expect(spans.filter((span) => span.includes('"error.type":"Error"')).length).toBeGreaterThan(2);
  const parked = await listParked(database, { kind: 'consumer' });
  const shown = [
    await showRun(database, well.id),
    await showRun(database, badly.id),
    await searchMessages(database, {}),
    parked,
    await showParked(database, parked[0]?.id ?? ''),
  ];
  expect(JSON.stringify(shown)).not.toContain(CANARY);
  expect(JSON.stringify(shown)).toContain('"$enc":"k1"');
  expect(worker.progress.failure).toBeNull();
});
