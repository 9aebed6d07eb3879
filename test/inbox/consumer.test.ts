/**
 * The consumer as a service: on a transport, with its loops, its options and what it tells about itself.
 */
import type { PoolClient } from 'pg';
import { Registry } from 'prom-client';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createConsumer } from '../../src/inbox/consumer.ts';
import { on, type HandlerContext } from '../../src/inbox/handlers/handler.ts';
import { createPromMetrics } from '../../src/runtime/prom-metrics.ts';
import { createMemoryBroker, createMemoryTransport } from '../../src/transport/memory.ts';
import type { OutboundMessage } from '../../src/transport/port.ts';
import { eventually } from '../support/eventually.ts';
import { clean, delivery, openLab, Placed, signal, wire, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
beforeEach(() => clean(lab));
afterAll(() => lab.dispose());

const effect = async (order: { readonly n: number }, { tx, message }: HandlerContext<PoolClient>): Promise<void> => {
  await tx.query('INSERT INTO effect (id, note) VALUES ($1, $2)', [message.id, String(order.n)]);
};

function outbound(n: number, key: string | null = null): OutboundMessage {
  const sent = wire({ key, data: { orderId: 'o', n } });
  return { id: sent.id, topic: 'order.placed', key, destination: 'shipping', wire: sent.text, replayId: null };
}

describe('on a transport', () => {
  it('handles everything once, in order per key, and forgets nothing at a stop', async () => {
    const broker = createMemoryBroker();
    const transport = createMemoryTransport({ broker });
    const messages = Array.from({ length: 60 }, (_, n) => outbound(n, `k${n % 5}`));
    await transport.publisher().publish(messages, { signal: new AbortController().signal });
    let handled = 0;
    const half = signal();
    const make = () =>
      lab.make({
        transport,
        ordered: true,
        handlers: [
          on(Placed, async (order, context) => {
            await effect(order, context);
            handled += 1;
            if (handled === 30) half.fire();
          }),
        ],
      });
    const first = make();
    await first.start();
    await half.promise;
    await first.stop();
    const second = make();
    await second.start();
    await eventually('the queue to be empty', async () => broker.pending('shipping') === 0);
    await second.stop();
    const effects = await lab.effects();
    expect(effects).toHaveLength(60);
    for (let k = 0; k < 5; k += 1) {
      const ofKey = effects.map(({ note }) => Number(note)).filter((n) => n % 5 === k);
      expect(ofKey).toEqual(ofKey.toSorted((a, b) => a - b));
    }
  });

  it('redrives by itself', async () => {
    const transport = createMemoryTransport();
    let works = false;
    const parked = signal();
    const shipping = lab.make({
      transport,
      retry: { attempts: 1 },
      parkedRetry: { attempts: 1000 },
      parkedPoll: 10,
      handlers: [
        on(Placed, async (order, context) => {
          await effect(order, context);
          parked.fire();
          if (!works) throw new Error('no');
        }),
      ],
    });
    await shipping.start();
    await transport.publisher().publish([outbound(1)], { signal: new AbortController().signal });
    await parked.promise;
    works = true;
    await eventually('the redrive', async () => (await lab.effects()).length === 1);
    await shipping.stop();
    expect(await lab.parked()).toEqual([]);
  });

  it('starts and stops in any order', async () => {
    const shipping = lab.make({ handlers: [on(Placed, effect)] });
    await shipping.stop();
    await Promise.all([shipping.start(), shipping.start()]);
    await Promise.all([shipping.stop(), shipping.stop()]);
    await shipping.start();
    await shipping.stop();
  });

  it('cuts short what is under way at a hard stop, and the message comes again', async () => {
    const broker = createMemoryBroker();
    const transport = createMemoryTransport({ broker });
    const running = signal();
    const shipping = lab.make({
      transport,
      handlers: [
        on(Placed, async (order, context) => {
          await effect(order, context);
          const aborted = new Promise((_, reject) => {
            context.signal.addEventListener('abort', () => reject(context.signal.reason));
          });
          running.fire();
          await aborted;
        }),
      ],
    });
    await shipping.start();
    await transport.publisher().publish([outbound(1)], { signal: new AbortController().signal });
    await running.promise;
    await shipping.stop({ signal: AbortSignal.abort(new Error('hard')) });
    expect(await lab.effects()).toEqual([]);
    expect(broker.pending('shipping')).toBe(1);
  });
});

describe('options', () => {
  const good = () => ({ database: lab.database, transport: createMemoryTransport(), handlers: [on(Placed, effect)] });
  it.each<[string, object, string | RegExp]>([
    ['a typo', { concurency: 3 }, /Did you mean "concurrency"/],
    ['a typo in retry', { retry: { attempt: 3 } }, /Did you mean "attempts"/],
    ['no duration', { timeout: 'soon' }, /timeout is "soon"/],
    ['no concurrency', { concurrency: 0 }, /concurrency 0/],
    ['an ignore that is no pattern', { ignore: ['order.'] }, /ignore "order." is not a topic pattern/],
    ['an ignore that is no list', { ignore: 'order.*' }, /ignore that is no list/],
    ['what once said ignore', { onUnknown: 'ignore' }, /no option "onUnknown"/],
    ['no transport', { transport: undefined }, /no transport/],
    ['no database', { database: undefined }, /no database/],
    [
      'two handlers of one topic',
      { handlers: [on(Placed, effect), on(Placed, effect)] },
      /two handlers for order.placed/,
    ],
  ])('refuses %s', (_name, bad, error) => {
    expect(() => createConsumer('shipping', { ...good(), ...bad })).toThrow(error);
  });

  it.each(['', 'a\0b', 'x'.repeat(201)])('refuses the name %o', (name) => {
    expect(() => createConsumer(name, good())).toThrow(/name/);
  });

  it('refuses a wrong handler', () => {
    expect(() => on(Placed, effect, { kind: 'never' as never })).toThrow(/kind is "never"/);
    expect(() => on(Placed, effect, { timeOut: '1s' } as never)).toThrow(/Did you mean "timeout"/);
    expect(() => on(Placed, 'x' as never)).toThrow(/not a function/);
  });

  it('takes any name that can be stored', async () => {
    const sent = wire({ key: "k'; DROP TABLE effect; --\\" });
    const odd = lab.make({ ordered: true, handlers: [on(Placed, effect)] }, "o'neil \\ $1 ünï");
    await odd.handle(delivery(sent));
    expect(await odd.handle(delivery(sent))).toEqual({ kind: 'done' });
    expect(await lab.effects()).toHaveLength(1);
  });
});

it('counts what it does', async () => {
  const registry = new Registry();
  const shipping = lab.make({
    metrics: createPromMetrics(registry),
    retry: { attempts: 2 },
    ignore: ['order.cancelled'],
    handlers: [
      on(Placed, async (order, context) => {
        await effect(order, context);
        if (order.n === 13) throw new Error('no');
      }),
    ],
  });
  const sent = wire();
  for (const each of [sent, sent, wire({ data: { orderId: 'o', n: 13 } }), wire({ type: 'order.cancelled' })])
    await shipping.handle(delivery(each));
  const metrics = await registry.getMetricsAsJSON();
  const values = (name: string) =>
    metrics
      .find((metric) => metric.name === name)
      ?.values.map(({ labels, value }) => [labels['outcome'] ?? labels['topic'], value]);
  expect(values('holdfast_consumer_messages_total')).toEqual([
    ['handled', 1],
    ['duplicate', 1],
    ['parked', 1],
    ['ignored', 1],
  ]);
  expect(values('holdfast_consumer_retries_total')).toEqual([['order.placed', 1]]);
  // Of what was handled alone: a duplicate was handled long ago.
  expect(await registry.metrics()).toMatch(/^holdfast_consumer_delay_seconds_count\{consumer="[^"]+"\} 1$/m);
});
