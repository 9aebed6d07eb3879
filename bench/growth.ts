/**
 * growth: what the other figures become when the tables are full. The same contestants on a database with months of rows and on fresh
 * ones, in turns.
 */
import { openDatabase } from '../src/postgres/database.ts';
import { createRelay } from '../src/relay/relay.ts';
import { contest, type Entry, type Standing } from './support/contest.ts';
import { alternate, figure, median, round, type Benchmark, type BenchContext, type Figure } from './support/figure.ts';
import { grow, type Growth } from './support/grown.ts';
import type { BenchDatabase } from './support/servers.ts';
import { noopSink } from './support/sink.ts';
import { fillOutbox } from './support/workload.ts';

const NAME = 'growth';
const FULL: Growth = { messages: 10_000_000, ended: 2_000_000, waiting: 200_000 };
const LEAST = 0.9;
const INFLIGHT = 64;
const CONTESTANTS = ['local', 'transaction', 'command'] as const;
const DRAIN = 'drain';

export const growth: Benchmark = {
  names: [NAME],

  async run(context) {
    const scale = context.scale ?? (context.quick ? 0.001 : 1);
    const rows: Growth = {
      messages: Math.ceil(FULL.messages * scale),
      ended: Math.ceil(FULL.ended * scale),
      waiting: Math.ceil(FULL.waiting * scale),
    };
    const [grown, empty] = [await context.servers.database(), await context.servers.database()];
    try {
      const startedAt = performance.now();
      await grow(grown, rows, ['commands', DRAIN]);
      context.note(`growth: filled in ${round((performance.now() - startedAt) / 1000)} s, ${await sizeOf(grown)}`);
      return [...(await sagas(context, grown, rows)), await drains(context, { grown, empty }, rows)];
    } finally {
      await grown.drop();
      await empty.drop();
    }
  },
};

async function sagas(context: BenchContext, grown: BenchDatabase, rows: Growth): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  for (const contestant of CONTESTANTS) {
    const entry: Entry = { contestant, inflight: INFLIGHT };
    const between = () => forget(grown);
    await between();
    const rounds = context.quick ? 1 : 2;
    const measured = await contest(context, [entry, { ...entry, on: grown }], {
      redis: contestant === 'command',
      rounds,
      between,
    });
    const [onEmpty, onGrown] = measured as [Standing, Standing];
    figures.push(
      figure(
        {
          bench: NAME,
          value: onGrown.perSecond,
          unit: 'runs/s',
          against: 'empty',
          againstValue: onEmpty.perSecond,
          target: { atLeast: LEAST },
        },
        { of: `saga.${contestant}.${INFLIGHT}`, p50: round(onGrown.p50), p50OnEmpty: round(onEmpty.p50), ...rows },
      ),
    );
  }
  return figures;
}

/** What the contestants make for themselves, and would not find in a database of their own. */
async function forget({ database }: BenchDatabase): Promise<void> {
  await database.query('DROP TABLE IF EXISTS public.entry');
}

/** A backlog that leaves: with a long log behind it, and with none. */
async function drains(
  context: BenchContext,
  databases: { readonly grown: BenchDatabase; readonly empty: BenchDatabase },
  rows: Growth,
): Promise<Figure> {
  const messages = context.quick ? 5_000 : 100_000;
  const rates = { grown: [] as number[], empty: [] as number[] };
  for (let index = 0; index < (context.quick ? 1 : 3); index += 1) {
    for (const name of alternate(['empty', 'grown'] as const, index)) {
      const rate = await drain(databases[name], messages);
      rates[name].push(rate);
      context.note(`growth, drain of ${messages} on ${name}: ${round(rate)} msg/s`);
    }
  }
  return figure(
    {
      bench: NAME,
      value: median(rates.grown),
      unit: 'msg/s',
      against: 'empty',
      againstValue: median(rates.empty),
      target: { atLeast: LEAST },
    },
    { of: 'relay.drain', ...rows },
  );
}

async function drain(bench: BenchDatabase, messages: number): Promise<number> {
  await fillOutbox(bench.database, messages);
  const database = openDatabase({ url: bench.url });
  const sink = noopSink();
  const startedAt = performance.now();
  const relay = createRelay({
    database,
    subscriptions: [{ name: DRAIN, transport: sink.transport, routes: [{ topics: 'order.*', to: 'sink' }] }],
  });
  await relay.start();
  await sink.reached(messages);
  const tookMs = performance.now() - startedAt;
  await relay.stop();
  await database.close();
  return (messages / tookMs) * 1000;
}

async function sizeOf({ database }: BenchDatabase): Promise<string> {
  const { rows } = await database.query<{ size: string }>(
    'SELECT pg_size_pretty(pg_database_size(current_database())) AS size',
  );
  return rows[0]?.size ?? '';
}
