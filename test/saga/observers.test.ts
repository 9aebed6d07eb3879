/** Loggers and metrics that fail at everything, in every part on PostgreSQL: no run and no message takes notice. */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createConsumer } from '../../src/inbox/consumer.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import { message } from '../../src/message/message-type.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { handle } from '../../src/saga/participant/handle.ts';
import { createParticipant } from '../../src/saga/participant/participant.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { eventually } from '../support/eventually.ts';
import { failingLogger, failingMetrics, rememberingLogger } from '../support/failing-observers.ts';
import { openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

const Pay = message('payment.take', { schema: z.object({ amount: z.number() }) });
const Ordered = message('order.placed', { schema: z.object({ n: z.number() }) });

describe.each(['throws', 'rejects'] as const)('a logger that %s and metrics that throw', (how) => {
  it('compensate no run, end no worker, and have no handler run twice', async () => {
    let attempts = 0;
    let handled = 0;
    const metrics = failingMetrics();
    const watched = { log: failingLogger(how), metrics };
    const transport = createMemoryTransport();
    const place = saga({
      name: 'place',
      input: z.object({ fails: z.boolean() }),
      steps: {
        reserve: step({ run: () => void (attempts += 1), compensate: () => {} }),
        book: transaction({
          run: async (_: void, { tx }) => void (await tx.query("INSERT INTO effect (what) VALUES ('booked')")),
        }),
        pay: command(Pay),
      },
      async run({ steps, input }) {
        await steps.reserve();
        await steps.book();
        await steps.pay({ amount: 1 });
        if (input.fails) throw new Error('meant');
      },
    });
    const worker = await lab.worker([place], { ...watched, replies: { transport } });
    const { id } = worker;
    const shop = createParticipant('shop', {
      database: lab.database,
      transport,
      ...watched,
      redeliveryHorizon: '1d',
      handlers: [handle(Pay, async () => {})],
    });
    const shipping = createConsumer('shipping', {
      database: lab.database,
      transport,
      ...watched,
      redeliveryHorizon: '1d',
      handlers: [
        on(Ordered, () => {
          handled += 1;
        }),
      ],
    });
    const relay = createRelay({
      database: lab.database,
      ...watched,
      subscriptions: [
        {
          name: `main-${how}`,
          transport,
          routes: [
            { topics: 'payment.**', to: 'shop' },
            { topics: 'saga.reply', to: 'saga-replies' },
            { topics: 'order.**', to: 'shipping' },
          ],
        },
      ],
    });
    const services = [shop, shipping, relay];
    for (const service of services) await service.start();
    try {
      const good = await worker.sagas.start(place, { fails: false });
      const bad = await worker.sagas.start(place, { fails: true });
      await lab.database.transaction(async (tx) => createOutbox().send(tx, Ordered, { n: 2 }));
      await good.result({ timeout: '30s' });
      await lab.until(bad.id, 'compensated');
      await eventually('the message is handled', async () => handled === 1);
      expect(attempts).toBe(2);
      expect(worker.id).toBe(id);
      expect(metrics.seen.times).toBeGreaterThan(5);
      const { rows } = await lab.test.pool.query('SELECT 1 FROM holdfast.parked_delivery');
      expect(rows).toEqual([]);
    } finally {
      for (const service of services.toReversed()) await service.stop();
    }
  });
});

it('metrics that throw are said in the log, once each', async () => {
  const log = rememberingLogger();
  const shipping = createConsumer(`said-${randomUUID()}`, {
    database: lab.database,
    transport: createMemoryTransport(),
    log,
    metrics: failingMetrics(),
    redeliveryHorizon: '1d',
    handlers: [on(Ordered, () => {})],
  });
  const wire = (): string =>
    JSON.stringify({
      specversion: '1.0',
      holdfast: 1,
      schemaversion: 1,
      source: 'test',
      id: randomUUID(),
      type: 'order.placed',
      time: new Date().toISOString(),
      datacontenttype: 'application/json',
      data: { n: 1 },
    });
  await shipping.start();
  try {
    for (let n = 0; n < 3; n += 1) {
      const verdict = await shipping.handle({ wire: wire(), redeliveries: 0, signal: new AbortController().signal });
      expect(verdict).toMatchObject({ kind: 'done' });
    }
  } finally {
    await shipping.stop();
  }
  const said = log.lines.filter(({ fields }) => fields['metric'] === 'holdfast_consumer_messages_total');
  expect(said).toHaveLength(1);
});
