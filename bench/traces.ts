/**
 * traces: what it costs that somebody traces, beside the same without. Messages handled a second (a transaction each, in memory, where the
 * broker costs nothing and the difference shows most), and sagas of three local steps, 64 in flight. Every span is recorded and exported;
 * who samples pays less. And one span of ours, beside one that the SDK makes alone.
 */
import { context, SpanKind, trace } from '@opentelemetry/api';
import { startProcess } from '../src/inbox/delivery/process-span.ts';
import type { Envelope } from '../src/message/envelope.ts';
import { openDatabase } from '../src/postgres/database.ts';
import { isTracing } from '../src/runtime/telemetry.ts';
import { createMemoryTransport } from '../src/transport/memory.ts';
import { consumeAll, SHIPMENTS, startConsumer } from './consume.ts';
import { contest } from './support/contest.ts';
import { alternate, figure, median, round, type BenchContext, type Benchmark, type Figure } from './support/figure.ts';
import { startBenchTracing } from './support/tracing.ts';

const TRACES = 'traces';
/** On may cost three percent. */
const TARGET = { atLeast: 0.97 };

export const traces: Benchmark = {
  names: [TRACES],
  run: async (bench) => [await oneSpan(bench), await tracedConsumer(bench), await tracedSagas(bench)],
};

const REMOTE = {
  traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  spanId: '00f067aa0ba902b7',
  traceFlags: 1,
  isRemote: true,
};
const ATTRIBUTES = {
  'messaging.system': 'holdfast',
  'messaging.operation.name': 'process',
  'messaging.operation.type': 'process',
  'messaging.destination.name': 'orders',
  'messaging.consumer.group.name': 'billing',
  'holdfast.topic': 'order.placed',
};
/** Microseconds of processor time that a span may cost, against those that it costs without us. */
const SPAN_TARGET = { atMost: 1.5 };

/** Makes a span of a message that is processed, says what came of it, and ends it. */
const MAKERS: Readonly<Record<'sdk' | 'ours', (id: string) => void>> = {
  sdk(id) {
    const parent = trace.setSpanContext(context.active(), REMOTE);
    const attributes = { ...ATTRIBUTES, 'messaging.message.id': id };
    const span = trace.getTracer('bench').startSpan('process orders', { kind: SpanKind.CONSUMER, attributes }, parent);
    span.setAttributes({ 'holdfast.outcome': 'handled' });
    span.end();
  },
  ours(id) {
    const incoming = { id, topic: 'order.placed', envelope: ENVELOPE };
    const span = isTracing() ? startProcess({ name: 'billing', destination: 'orders' }, incoming, {}) : null;
    span?.set({ 'holdfast.outcome': 'handled' });
    span?.end();
  },
};
const ENVELOPE = {
  traceparent: `00-${REMOTE.traceId}-${REMOTE.spanId}-01`,
  tracestate: null,
  headers: {},
} as unknown as Envelope;

/** In this process, one after the other. `notSampled`: the SDK's sampler has said no. `off`: nobody traces. */
async function oneSpan({ quick, note }: BenchContext): Promise<Figure> {
  const rounds = quick ? 2 : 20;
  const took: Record<'sdk' | 'ours' | 'notSampled' | 'off', number[]> = { sdk: [], ours: [], notSampled: [], off: [] };
  // The first ones warm up.
  for (let index = -2; index < rounds; index += 1) {
    const into = (figures: number[]): number[] => (index < 0 ? [] : figures);
    for (const maker of alternate(['sdk', 'ours'] as const, Math.abs(index)))
      await timed(into(took[maker]), MAKERS[maker], {});
    await timed(into(took.notSampled), MAKERS.ours, { sampled: false });
    into(took.off).push(microsecondsOf(MAKERS.ours));
  }
  const [sdk, ours] = [median(took.sdk), median(took.ours)];
  const others = { notSampled: round(median(took.notSampled)), off: round(median(took.off)) };
  note(`traces, a span: ${round(ours)} us, by the SDK alone ${round(sdk)}, ${JSON.stringify(others)}`);
  return figure(
    { bench: TRACES, value: ours, unit: 'us', against: 'sdk', againstValue: sdk, target: SPAN_TARGET },
    { of: 'span', ...others },
  );
}

async function timed(
  into: number[],
  make: (id: string) => void,
  options: { readonly sampled?: boolean },
): Promise<void> {
  const tracing = startBenchTracing(options);
  into.push(microsecondsOf(make));
  await tracing.stop();
}

const SPANS_A_ROUND = 5_000;

function microsecondsOf(make: (id: string) => void): number {
  const before = process.cpuUsage();
  for (let n = 0; n < SPANS_A_ROUND; n += 1) make(`0199f3a0-7b1c-7cc0-9d7e-${n}`);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / SPANS_A_ROUND;
}

async function tracedConsumer({ quick, servers, note }: BenchContext): Promise<Figure> {
  const messages = quick ? 500 : 10_000;
  const rounds = quick ? 1 : 5;
  const bench = await servers.database();
  const database = openDatabase({ url: bench.url, max: 20 });
  const rates: Record<'off' | 'on', number[]> = { off: [], on: [] };
  let spans = 0;
  try {
    await database.query(SHIPMENTS);
    const start = startConsumer(database, { batch: false });
    for (let index = -1; index < rounds; index += 1) {
      for (const state of alternate(['off', 'on'] as const, Math.abs(index))) {
        await database.query('TRUNCATE holdfast.inbox, public.shipment');
        const tracing = state === 'on' ? startBenchTracing() : null;
        const transport = createMemoryTransport();
        const rate = await consumeAll({ start, transport, messages });
        await transport.close();
        await tracing?.stop();
        spans = tracing?.spans ?? spans;
        // The first round warms up.
        if (index >= 0) rates[state].push(rate);
        note(`traces, consume, ${state}: ${round(rate)} msg/s`);
      }
    }
  } finally {
    await database.close();
    await bench.drop();
  }
  if (spans !== messages) throw new Error(`there were ${spans} spans of ${messages} messages`);
  return figure(
    {
      bench: TRACES,
      value: median(rates.on),
      unit: 'msg/s',
      against: 'off',
      againstValue: median(rates.off),
      target: TARGET,
    },
    { of: 'consume', transport: 'memory', messages, rounds },
  );
}

async function tracedSagas(bench: BenchContext): Promise<Figure> {
  const entries = [
    { contestant: 'local', inflight: 64 },
    { contestant: 'local-traced', inflight: 64 },
  ] as const;
  const [off, on] = await contest(bench, entries);
  return figure(
    {
      bench: TRACES,
      value: on?.perSecond ?? 0,
      unit: 'runs/s',
      against: 'off',
      againstValue: off?.perSecond ?? 0,
      target: TARGET,
    },
    { of: 'saga.local.64', p50: round(on?.p50 ?? 0), p99: round(on?.p99 ?? 0) },
  );
}
