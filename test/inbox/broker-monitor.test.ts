/**
 * A consumer that receives nothing says why: at its start, in its log, in its health and its metrics.
 */
import { Queue } from 'bullmq';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { createConsumer, type Consumer } from '../../src/inbox/consumer.ts';
import type { Logger } from '../../src/runtime/log.ts';
import { noopMetrics, type Metrics } from '../../src/runtime/metrics.ts';
import { createBullmqTransport } from '../../src/transport/bullmq/redis-transport.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import type { Transport } from '../../src/transport/port.ts';
import { startRedis } from '../support/servers.ts';
import { openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterAll(() => lab.dispose());

interface Heard {
  readonly lines: { readonly level: string; readonly text: string }[];
  readonly gauges: Map<string, number>;
}

function listening(transport: Transport, destination: string): Consumer & Heard {
  const lines: Heard['lines'] = [];
  const gauges: Heard['gauges'] = new Map();
  const say =
    (level: string) =>
    (fields: { readonly err?: Error }, text: string): void =>
      void lines.push({ level, text: `${text} ${fields.err?.message ?? ''}` });
  const log: Logger = {
    debug: say('debug'),
    info: say('info'),
    warn: say('warn'),
    error: say('error'),
    child: () => log,
  };
  const metrics: Metrics = {
    ...noopMetrics,
    gauge: (name) => ({
      set: (labels, value) => void gauges.set(`${name} ${Object.values(labels).join(' ')}`, value),
      remove: () => {},
    }),
  };
  const made = createConsumer(destination, {
    database: lab.database,
    transport,
    handlers: [],
    redeliveryHorizon: '1d',
    log,
    metrics,
  });
  onTestFinished(() => made.stop({ signal: AbortSignal.abort() }));
  return { ...made, lines, gauges };
}

const errors = ({ lines }: Heard): readonly string[] =>
  lines.filter(({ level }) => level === 'error').map(({ text }) => text);

it('without a broker it starts, and has said what is wrong; with it, it says that it is there', async () => {
  const server = await startRedis();
  onTestFinished(() => server.dispose());
  await server.stop();
  const transport = createBullmqTransport({ connection: server.url });
  const listener = listening(transport, 'away');
  await listener.start();
  expect(errors(listener)).toEqual([expect.stringMatching(/cannot be reached.*ECONNREFUSED/)]);
  expect(listener.brokerHealth()).toMatchObject({ reachable: false, trouble: expect.stringContaining('ECONNREFUSED') });
  expect(listener.gauges.get('holdfast_consumer_broker_up away')).toBe(0);
  await server.start();
  await expect.poll(() => listener.brokerHealth().reachable, { timeout: 60_000 }).toBe(true);
  expect(listener.lines).toContainEqual({ level: 'info', text: expect.stringContaining('the broker answers again') });
  expect(listener.gauges.get('holdfast_consumer_broker_up away')).toBe(1);
});

it('without a log, a first contact that fails is a warning of the process', async () => {
  const warnings: string[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning.message);
  process.on('warning', onWarning);
  onTestFinished(() => void process.off('warning', onWarning));
  const unheard = createConsumer('unheard', {
    database: lab.database,
    transport: createBullmqTransport({ connection: 'redis://127.0.0.1:1' }),
    handlers: [],
    redeliveryHorizon: '1d',
  });
  onTestFinished(() => unheard.stop({ signal: AbortSignal.abort() }));
  await unheard.start();
  await expect.poll(() => warnings).toEqual([expect.stringMatching(/consumer unheard receives nothing.*ECONNREFUSED/)]);
});

it('with a wrong password it says so', async () => {
  const server = await startRedis({ args: ['--requirepass', 'secret'] });
  onTestFinished(() => server.dispose());
  const { host } = new URL(server.url);
  const listener = listening(createBullmqTransport({ connection: `redis://:wrong@${host}` }), 'locked');
  await listener.start();
  expect(errors(listener)).toEqual([expect.stringMatching(/WRONGPASS|NOAUTH/)]);
});

it('of a paused queue it warns, and counts what waits', async () => {
  const server = await startRedis();
  onTestFinished(() => server.dispose());
  const queue = new Queue('held', { connection: { url: server.url }, prefix: 'holdfast' });
  onTestFinished(() => queue.close());
  await queue.pause();
  await queue.add('x', {});
  const listener = listening(createBullmqTransport({ connection: server.url }), 'held');
  await listener.start();
  await expect.poll(() => listener.brokerHealth().queue).toMatchObject({ paused: true, waiting: 1 });
  expect(listener.lines).toContainEqual({ level: 'warn', text: expect.stringContaining('is paused') });
  expect(listener.gauges.get('holdfast_queue_paused held')).toBe(1);
  expect(listener.gauges.get('holdfast_queue_messages held waiting')).toBe(1);
});

it('asks nothing where there is no broker to ask', async () => {
  const listener = listening(createMemoryTransport(), 'inside');
  await listener.start();
  expect(listener.brokerHealth()).toEqual({ reachable: null, trouble: null, queue: null });
});
