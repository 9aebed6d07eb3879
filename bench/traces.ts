/**
 * traces: what it costs that somebody traces, beside the same without. Messages handled a second (a transaction each, in memory, where the
 * broker costs nothing and the difference shows most), and sagas of three local steps, 64 in flight. Every span is recorded and exported;
 * who samples pays less.
 */
import { openDatabase } from '../src/postgres/database.ts';
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
  run: async (context) => [await tracedConsumer(context), await tracedSagas(context)],
};

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

async function tracedSagas(context: BenchContext): Promise<Figure> {
  const entries = [
    { contestant: 'local', inflight: 64 },
    { contestant: 'local-traced', inflight: 64 },
  ] as const;
  const [off, on] = await contest(context, entries);
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
