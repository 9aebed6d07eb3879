/**
 * relay.drain.noop and relay.drain.noop.pinned: how fast a backlog leaves, with nothing behind the relay, beside the relay that
 * deletes its queue by SKIP LOCKED; and what becomes of both while somebody else's transaction is open.
 */
import { openDatabase } from '../src/postgres/database.ts';
import { createRelay } from '../src/relay/relay.ts';
import { drainBySkipLocked, SKIP_LOCKED_SCHEMA, SKIP_LOCKED_TABLE } from './rivals/skip-locked.ts';
import { alternate, figure, median, round, type Benchmark, type BenchContext } from './support/figure.ts';
import type { BenchDatabase } from './support/servers.ts';
import { noopSink } from './support/sink.ts';
import { fillOutbox, fillRival } from './support/workload.ts';

const PLAIN = 'relay.drain.noop';
const PINNED = 'relay.drain.noop.pinned';

interface Rates {
  readonly ours: number[];
  readonly rival: number[];
}

export const drain: Benchmark = {
  names: [PLAIN, PINNED],

  async run(context, wanted) {
    const rows = context.quick ? 20_000 : 300_000;
    const rounds = context.quick ? 1 : 3;
    const bench = await context.servers.database();
    const plain: Rates = { ours: [], rival: [] };
    const pinned: Rates = { ours: [], rival: [] };
    try {
      await bench.database.query(SKIP_LOCKED_SCHEMA);
      await drainRound(context, bench, { rows: 20_000, index: 0, rates: { ours: [], rival: [] }, label: 'warm-up' });
      for (let index = 0; index < rounds; index += 1) {
        await drainRound(context, bench, { rows, index, rates: plain, label: 'plain', rivalToo: wanted.has(PLAIN) });
        if (!wanted.has(PINNED)) continue;
        const pin = await bench.connect();
        await pin.query('BEGIN');
        await pin.query('SELECT pg_current_xact_id()');
        await drainRound(context, bench, { rows, index, rates: pinned, label: 'pinned' });
        await pin.end();
      }
    } finally {
      await bench.drop();
    }
    const more = { rows, rounds };
    const figures = [];
    if (wanted.has(PLAIN)) {
      figures.push(
        figure(
          {
            bench: PLAIN,
            value: median(plain.ours),
            unit: 'msg/s',
            against: 'skip-locked',
            againstValue: median(plain.rival),
            target: { atLeast: 1.3 },
          },
          more,
        ),
      );
    }
    if (wanted.has(PINNED)) {
      const value = median(pinned.ours);
      figures.push(
        figure(
          {
            bench: PINNED,
            value,
            unit: 'msg/s',
            against: 'skip-locked-pinned',
            againstValue: median(pinned.rival),
            target: { atLeast: 3 },
          },
          more,
        ),
        figure(
          {
            bench: PINNED,
            value,
            unit: 'msg/s',
            against: PLAIN,
            againstValue: median(plain.ours),
            target: { atLeast: 0.9 },
          },
          more,
        ),
      );
    }
    return figures;
  },
};

interface Round {
  readonly rows: number;
  readonly index: number;
  readonly rates: Rates;
  readonly label: string;
  readonly rivalToo?: boolean;
}

async function drainRound(
  context: BenchContext,
  bench: BenchDatabase,
  { rows, index, rates, label, rivalToo = true }: Round,
): Promise<void> {
  await bench.database.query(`TRUNCATE holdfast.outbox, holdfast.subscription, ${SKIP_LOCKED_TABLE}`);
  await fillOutbox(bench.database, rows);
  if (rivalToo) await fillRival(bench.database, SKIP_LOCKED_TABLE, rows);
  await bench.settle();
  const contestants = [
    { name: 'holdfast', rates: rates.ours, run: () => drainByRelay(bench.url, rows) },
    ...(rivalToo ? [{ name: 'skip-locked', rates: rates.rival, run: () => drainByRival(bench, rows) }] : []),
  ];
  for (const contestant of alternate(contestants, index)) {
    const startedAt = performance.now();
    await contestant.run();
    const rate = (rows / (performance.now() - startedAt)) * 1000;
    contestant.rates.push(rate);
    context.note(`drain ${label}, round ${index + 1}: ${contestant.name} ${round(rate)} msg/s`);
  }
}

/** From nothing (no connection, no lease) until everything is out, the cursor is stored and the lease given back. */
async function drainByRelay(url: string, rows: number): Promise<void> {
  const database = openDatabase({ url });
  const sink = noopSink();
  const relay = createRelay({
    database,
    subscriptions: [{ name: 'drain', transport: sink.transport, routes: [{ topics: '**', to: 'sink' }] }],
  });
  await relay.start();
  await sink.reached(rows);
  await relay.stop();
  await database.close();
  assertCount(sink.count, rows);
}

async function drainByRival(bench: BenchDatabase, rows: number): Promise<void> {
  const sink = noopSink();
  const client = await bench.connect();
  await drainBySkipLocked(client, sink.publisher);
  await client.end();
  assertCount(sink.count, rows);
}

function assertCount(count: number, rows: number): void {
  if (count !== rows) throw new Error(`${count} messages came out of ${rows}`);
}
