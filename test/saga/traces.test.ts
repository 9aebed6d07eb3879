/**
 * Traces over the whole path, by OpenTelemetry's SDK: an order from the request to the last reply is one story, what is published together
 * is linked to what was sent, and what goes on later or elsewhere refers to its start.
 */
import { randomUUID } from 'node:crypto';
import { context, propagation, ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Rejection } from '../../src/errors.ts';
import { createConsumer } from '../../src/inbox/consumer.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import { message } from '../../src/message/message-type.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { SPAN_ATTRIBUTES, SPANS, type SpanName } from '../../src/runtime/spans.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { child } from '../../src/saga/kinds/child.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import { handle } from '../../src/saga/participant/handle.ts';
import { createParticipant } from '../../src/saga/participant/participant.ts';
import { createBullmqTransport } from '../../src/transport/bullmq/redis-transport.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import type { Transport } from '../../src/transport/port.ts';
import { eventually } from '../support/eventually.ts';
import { sharedRedisUrl, uniquePrefix } from '../support/servers.ts';
import { idOf, linksOf, parentOf, startTracing, traceOf, type Tracing } from '../support/tracing.ts';
import { gate, openLab, type Lab } from './lab.ts';

const Placed = message('order.placed', { schema: z.object({ orderId: z.string() }) });
const Reserve = message('stock.reserve', { schema: z.object({ sku: z.string() }) });
const Reserved = message('stock.reserved', { schema: z.object({ shelf: z.string() }) });
const SECRET = 'ann@example.org';

let lab: Lab;
let tracing: Tracing;
beforeAll(async () => {
  lab = await openLab();
});
beforeEach(() => {
  tracing = startTracing();
});
afterEach(async () => {
  await lab.settle();
  await tracing.stop();
});
afterAll(() => lab.dispose());

/** As an instrumented HTTP server runs a handler. */
async function request<T>(name: string, fn: () => Promise<T>, tenant?: string): Promise<T> {
  const own =
    tenant === undefined
      ? ROOT_CONTEXT
      : propagation.setBaggage(ROOT_CONTEXT, propagation.createBaggage({ tenant: { value: tenant } }));
  const span = trace.getTracer('http').startSpan(name, { kind: SpanKind.SERVER }, own);
  try {
    return await context.with(trace.setSpan(own, span), fn);
  } finally {
    span.end();
  }
}

const tenantNow = (): string | undefined => propagation.getBaggage(context.active())?.getEntry('tenant')?.value;

/** The names from the root down to a span. */
function pathTo(span: ReadableSpan): readonly string[] {
  const parent = tracing.spans().find((each) => idOf(each) === parentOf(span));
  return parent === undefined ? [span.name] : [...pathTo(parent), span.name];
}

describe('one order, over the outbox, a relay, BullMQ, a consumer, a saga, a participant and back', () => {
  it('is one connected story', async () => {
    const transport: Transport = createBullmqTransport({ connection: sharedRedisUrl(), prefix: uniquePrefix() });
    const [orders, stock, replies] = ['orders', 'stock', 'replies'].map((name) => `${name}-${randomUUID()}`) as [
      string,
      string,
      string,
    ];
    const seen: (string | undefined)[] = [];
    const placeOrder = saga({
      name: 'place-order',
      input: z.object({ orderId: z.string() }),
      steps: {
        reserve: command(Reserve, { reply: Reserved }),
        charge: step({
          run: () => {
            seen.push(tenantNow());
            trace.getTracer('http').startSpan('POST /charges').end();
            return SECRET;
          },
        }),
        note: transaction({
          run: async (_: string, { tx }) => {
            await tx.query("INSERT INTO effect (what) VALUES ('noted')");
          },
        }),
      },
      async run({ steps, input }) {
        await steps.reserve({ sku: input.orderId });
        await steps.charge();
        await steps.note('x');
      },
    });
    const worker = await lab.worker([placeOrder], { replies: { transport, destination: replies } });
    const consumer = createConsumer('placing', {
      database: lab.database,
      transport,
      destination: orders,
      handlers: [
        on(Placed, async ({ orderId }, { tx }) => {
          seen.push(tenantNow());
          await worker.sagas.start(tx, placeOrder, { orderId }, { key: SECRET });
        }),
      ],
    });
    const participant = createParticipant('stock', {
      database: lab.database,
      transport,
      destination: stock,
      handlers: [
        handle(Reserve, { reply: Reserved }, async () => {
          seen.push(tenantNow());
          return { shelf: SECRET };
        }),
      ],
    });
    const relay = createRelay({
      database: lab.database,
      subscriptions: [
        {
          name: 'main',
          transport,
          from: 'now',
          routes: [
            { topics: 'order.*', to: orders },
            { topics: 'stock.*', to: stock },
            { topics: 'saga.reply', to: replies },
          ],
        },
      ],
    });
    await Promise.all([consumer.start(), participant.start(), relay.start()]);
    const outbox = createOutbox();
    await request(
      'POST /orders',
      () => lab.database.transaction((tx) => outbox.send(tx, Placed, { orderId: 'o-1' }, { key: SECRET })),
      'acme',
    );
    const run = await eventually('the run', async () =>
      worker.sagas.find(placeOrder, SECRET).then((found) => found ?? false),
    );
    await run.result();
    await eventually('the last span', async () =>
      tracing.named('run place-order').some((each) => each.attributes['holdfast.run.status'] === 'completed'),
    );
    await Promise.all([consumer.stop(), participant.stop(), relay.stop()]);
    await worker.stop();
    await transport.close();

    expect(pathTo(tracing.one(`process ${orders}`))).toEqual([
      'POST /orders',
      'send order.placed',
      `process ${orders}`,
    ]);
    const toRun = ['POST /orders', 'send order.placed', `process ${orders}`, 'start place-order', 'run place-order'];
    const [first] = tracing.named('run place-order');
    expect(pathTo(first!)).toEqual(toRun);
    const toReply = [...toRun, 'send stock.reserve', `process ${stock}`, 'send saga.reply', `process ${replies}`];
    expect(pathTo(tracing.one(`process ${replies}`))).toEqual(toReply);
    expect(pathTo(tracing.one('POST /charges'))).toEqual([...toRun, 'step charge', 'POST /charges']);
    expect(pathTo(tracing.one('transaction note'))).toEqual([...toRun, 'transaction note']);
    expect(pathTo(tracing.one('wait reserve'))).toEqual([...toRun, 'wait reserve']);
    const traceId = traceOf(tracing.one('POST /orders'));
    const apart = tracing.spans().filter((span) => traceOf(span) !== traceId);
    expect(new Set(apart.map(({ name }) => name.split(' ')[0]))).toEqual(new Set(['publish']));
    // What is published refers to what was sent.
    for (const [sent, queue] of [
      ['send order.placed', orders],
      ['send stock.reserve', stock],
      ['send saga.reply', replies],
    ] as const)
      expect(linksOf(tracing.one(`publish ${queue}`))).toEqual([idOf(tracing.one(sent))]);
    expect(seen).toEqual(['acme', 'acme', 'acme']);
    expectAsDocumented();
  });
});

/** Every span of ours is one of the table, and has its attributes and no others; nothing that users gave stands in any. */
function expectAsDocumented(): void {
  const ours = tracing.spans().filter((span) => span.instrumentationScope.name === 'holdfast');
  expect(ours.length).toBeGreaterThan(0);
  for (const span of ours) {
    const shape = SPANS[span.name.split(' ')[0] as SpanName];
    expect(shape?.kind).toBe(span.kind);
    const strange = Object.keys(span.attributes).filter(
      (name) => !(shape.attributes as readonly string[]).includes(name),
    );
    expect({ name: span.name, strange }).toEqual({ name: span.name, strange: [] });
    expect(Object.keys(SPAN_ATTRIBUTES)).toEqual(expect.arrayContaining(Object.keys(span.attributes)));
    expect(JSON.stringify([span.name, span.attributes, span.events, span.status])).not.toContain(SECRET);
  }
}

describe('a run', () => {
  it('shows its attempts, failed ones too, and the way back', async () => {
    let tries = 0;
    const order = saga({
      name: 'order',
      input: z.object({}),
      steps: {
        charge: step({ run: () => SECRET, compensate: () => {} }),
        ship: step({
          retry: { attempts: 3, base: 0 },
          run: (): string => {
            tries += 1;
            throw tries === 1 ? Object.assign(new Error(SECRET), { code: 'EAGAIN' }) : new Rejection(SECRET);
          },
        }),
      },
      async run({ steps }) {
        await steps.charge();
        await steps.ship();
      },
    });
    const worker = await lab.worker([order]);
    const run = await worker.sagas.start(order, {});
    await run.result().catch(() => {});
    await lab.until(run.id, 'compensated');
    await eventually('the last span', async () => tracing.named('compensate charge').length > 0);
    const attempts = tracing
      .named('step ship')
      .map(({ attributes }) => [
        attributes['holdfast.attempt'],
        attributes['holdfast.outcome'],
        attributes['error.type'],
      ]);
    expect(attempts).toEqual([
      [1, 'in doubt', 'EAGAIN'],
      [2, 'failed', 'HF_REJECTED'],
    ]);
    for (const name of ['step charge', 'step ship', 'compensate charge'])
      for (const span of tracing.named(name)) expect(pathTo(span)).toEqual(['start order', 'run order', name]);
    expect(tracing.one('compensate charge').attributes).toMatchObject({
      'holdfast.saga': 'order',
      'holdfast.run.id': run.id,
      'holdfast.call': 'charge',
      'holdfast.outcome': 'done',
    });
    expectAsDocumented();
  });

  it('that is taken up after a crash goes on in a trace of its own, linked to its start', async () => {
    const order = saga({
      name: 'order',
      input: z.object({}),
      signals: { paid: z.string() },
      steps: { charge: step({ run: () => 'charged', compensate: () => {} }) },
      async run({ steps, waitFor }) {
        await waitFor('paid');
        await steps.charge();
      },
    });
    const first = await lab.worker([order]);
    const run = await request('POST /orders', () => first.sagas.start(order, {}));
    await lab.untilEvent(run.id, 'called');
    await lab.takeOver(first.id);
    const second = await lab.worker([order]);
    await run.signal('paid', 'by card');
    await run.result();
    await eventually(
      'the last span',
      async () => tracing.named('step charge').length > 0 && tracing.named('run order').length > 1,
    );
    await second.stop();
    const started = tracing.one('start order');
    const charged = tracing.one('step charge');
    const again = tracing.spans().find((span) => idOf(span) === parentOf(charged));
    expect(again?.name).toBe('run order');
    expect(traceOf(again!)).not.toBe(traceOf(started));
    expect(parentOf(again!)).toBeUndefined();
    expect(linksOf(again!)).toEqual([idOf(started)]);
    const [before] = tracing.named('run order');
    expect(parentOf(before!)).toBe(idOf(started));
    expectAsDocumented();
  });

  it('starts its children as part of it', async () => {
    const part = saga({ name: 'part', input: z.object({}), steps: {}, async run() {} });
    const whole = saga({
      name: 'whole',
      input: z.object({}),
      steps: { part: child(part) },
      async run({ steps }) {
        await steps.part({});
      },
    });
    const worker = await lab.worker([whole, part]);
    const run = await worker.sagas.start(whole, {});
    await run.result();
    await eventually('the last span', async () => tracing.named('run part').length > 0);
    const [of] = tracing.named('run part');
    expect(pathTo(of!)).toEqual(['start whole', 'run whole', 'run part']);
  });
});

describe('start_runs', () => {
  const start = async (more: object): Promise<readonly unknown[]> => {
    const id = randomUUID();
    const given = { id, saga: 'nobodys', version: 1, input: { n: 1 }, ...more };
    await lab.database.query('SELECT holdfast.start_runs($1, false)', [JSON.stringify([given])]);
    return lab.events(id);
  };

  it('keeps a trace that is given, and starts runs without one, or with one that is too large, as ever', async () => {
    const started = { t: 'started', input: { n: 1 } };
    const kept = { traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`, baggage: 'a=1' };
    expect(await start({ trace: kept })).toEqual([{ ...started, trace: kept }]);
    expect(await start({})).toEqual([started]);
    expect(await start({ trace: null })).toEqual([started]);
    expect(await start({ trace: { traceparent: 'x'.repeat(10_000) } })).toEqual([started]);
    expect(await start({ trace: kept, deadline_ms: 1_000 })).toEqual([
      { ...started, deadlineAt: expect.any(Number), trace: kept },
    ]);
  });
});

describe('a tracer that throws', () => {
  it('changes nothing of what happens to messages and runs', async () => {
    await tracing.stop();
    const failing = (): never => {
      throw new Error('the tracer is shut down');
    };
    const broken = {
      spanContext: () => ({ traceId: '1'.repeat(32), spanId: '2'.repeat(16), traceFlags: 1 }),
      setAttributes: failing,
      setStatus: failing,
      addEvent: failing,
      end: failing,
    };
    trace.setGlobalTracerProvider({ getTracer: () => ({ startSpan: () => broken }) as never });
    const transport = createMemoryTransport();
    const queue = randomUUID();
    const handled = gate();
    const order = saga({
      name: 'order',
      input: z.object({}),
      steps: { charge: step({ run: async () => 7 }) },
      run: ({ steps }) => steps.charge(),
    });
    const worker = await lab.worker([order]);
    const consumer = createConsumer('placing-untraced', {
      database: lab.database,
      transport,
      destination: queue,
      handlers: [on(Placed, () => handled.open())],
    });
    const relay = createRelay({
      database: lab.database,
      subscriptions: [{ name: 'broken', transport, from: 'now', routes: [{ topics: 'order.*', to: queue }] }],
    });
    await Promise.all([consumer.start(), relay.start()]);
    await lab.database.transaction((tx) => createOutbox().send(tx, Placed, { orderId: 'o-1' }));
    await handled.promise;
    expect(await (await worker.sagas.start(order, {})).result()).toBe(7);
    await Promise.all([consumer.stop(), relay.stop()]);
    trace.disable();
    tracing = startTracing();
  });
});
