/**
 * steady: messages at a steady rate for ten times as long as they are kept. Whether the tables stop growing once the first of them have
 * gone, and how far the relay is behind meanwhile.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { openDatabase, type Database } from '../src/postgres/database.ts';
import { createRelay } from '../src/relay/relay.ts';
import type { MarkedCommit, WritersNews } from './steady-writers.ts';
import { monotonicMs } from './support/clock.ts';
import { figure, percentile, round, type Benchmark, type BenchContext, type Figure } from './support/figure.ts';
import { noopSink } from './support/sink.ts';

const NAME = 'steady';
const LAG_LIMIT_MS = 50;
/** The whole takes so many times the retention. */
const RETENTIONS = 10;
/** After so many of them it has to be flat: the log holds one, and the next goes as fast as it comes. */
const FLAT_AFTER = 2;
/** What counts as flat: the most that the tables may have at any later moment, against the end of that time. */
const FLAT = 1.15;

interface Look {
  /** Retentions since the start. */
  readonly at: number;
  readonly bytes: number;
  readonly live: number;
  readonly dead: number;
}

interface Steady {
  readonly looks: readonly Look[];
  readonly lagsMs: readonly number[];
  /** Really reached. */
  readonly perSecond: number;
}

export const steady: Benchmark = {
  names: [NAME],

  async run(context) {
    const minutes = context.minutes ?? (context.quick ? 0.1 : 10);
    const perSecond = context.perSecond ?? (context.quick ? 2_000 : 20_000);
    const retentionMs = (minutes * 60_000) / RETENTIONS;
    const run = await measure(context, { perSecond, retentionMs });
    return figures(run, { minutes, perSecond, retentionMs });
  },
};

interface Load {
  readonly perSecond: number;
  readonly retentionMs: number;
}

function figures(run: Steady, load: Load & { readonly minutes: number }): readonly Figure[] {
  const megabytes = ({ bytes }: Look): number => bytes / 1_048_576;
  const [before, after] = [
    run.looks.filter(({ at }) => at <= FLAT_AFTER),
    run.looks.filter(({ at }) => at > FLAT_AFTER),
  ];
  const lags = run.lagsMs;
  const more = { ...load, reachedPerSecond: round(run.perSecond) };
  return [
    figure(
      {
        bench: NAME,
        value: Math.max(...after.map(megabytes)),
        unit: 'MB',
        against: 'after-two-retentions',
        againstValue: Math.max(...before.map(megabytes)),
        target: { atMost: FLAT },
      },
      {
        ...more,
        megabytes: run.looks.map((look) => Math.round(megabytes(look))),
        live: after.at(-1)?.live,
        dead: Math.max(...after.map(({ dead }) => dead)),
      },
    ),
    figure(
      {
        bench: NAME,
        value: percentile(lags, 0.99),
        unit: 'ms',
        against: 'limit',
        againstValue: LAG_LIMIT_MS,
        target: { atMost: 1 },
      },
      {
        ...more,
        p50: round(percentile(lags, 0.5)),
        p999: round(percentile(lags, 0.999)),
        max: round(percentile(lags, 1)),
      },
    ),
  ];
}

async function measure(context: BenchContext, { perSecond, retentionMs }: Load): Promise<Steady> {
  const bench = await context.servers.database();
  const database = openDatabase({ url: bench.url });
  const lags = lagMeter();
  const sink = noopSink((batch) => {
    for (const { id } of batch) lags.published(id);
  });
  const relay = createRelay({
    database,
    subscriptions: [
      { name: NAME, transport: sink.transport, routes: [{ topics: '**', to: 'sink' }], retention: `${retentionMs}ms` },
    ],
  });
  await relay.start();
  const looks: Look[] = [];
  const writers = await readyWriters(bench.url, { perSecond, seconds: (RETENTIONS * retentionMs) / 1000 });
  const startedAt = performance.now();
  const look = async (): Promise<void> => {
    // To a tenth: a look that was meant for the end of the time that is compared with belongs to it.
    const at = Math.round((10 * (performance.now() - startedAt)) / retentionMs) / 10;
    const found = { at, ...(await sizes(bench.database)) };
    looks.push(found);
    context.note(
      `steady, ${at.toFixed(1)} retentions: ${Math.round(found.bytes / 1_048_576)} MB, ` +
        `${found.live} live and ${found.dead} dead rows of the log, ${lags.say()}`,
    );
  };
  const looking = setInterval(() => void look(), retentionMs / 2);
  try {
    const messages = await written(writers, (marked) => lags.committed(marked));
    const reached = (messages / (performance.now() - startedAt)) * 1000;
    await sink.reached(messages);
    clearInterval(looking);
    await look();
    return { looks, lagsMs: lags.all(), perSecond: reached };
  } finally {
    clearInterval(looking);
    await relay.stop();
    await database.close();
    await bench.drop();
  }
}

/** Connected, and waiting for a word. */
async function readyWriters(
  url: string,
  { perSecond, seconds }: { readonly perSecond: number; readonly seconds: number },
): Promise<ChildProcess> {
  const writers = fork(fileURLToPath(new URL('steady-writers.js', import.meta.url)), [
    url,
    String(perSecond),
    String(seconds),
  ]);
  await once(writers, 'message');
  return writers;
}

/** Lets them go. Resolves with how many messages they have written. */
function written(writers: ChildProcess, onCommitted: (committed: readonly MarkedCommit[]) => void): Promise<number> {
  return new Promise((resolve, reject) => {
    writers.once('exit', () => reject(new Error('the writers ended before they were done')));
    writers.on('message', (news: WritersNews) => {
      onCommitted(news.committed);
      if (news.done) resolve(news.messages);
    });
    writers.send('go');
  });
}

/**
 * From COMMIT having returned to publish() having been called. The relay can see a commit before its writer is told; that counts as no
 * delay. What the writers have not told of yet is remembered for some seconds.
 */
function lagMeter() {
  const all: number[] = [];
  let recent: number[] = [];
  /** By id; two generations, of which the older is forgotten now and then. */
  let [young, old] = [new Map<string, number>(), new Map<string, number>()];
  let turnedAtMs = 0;
  const waiting = new Map<string, number>();
  const note = (lagMs: number): void => {
    all.push(Math.max(0, lagMs));
    recent.push(Math.max(0, lagMs));
  };
  return {
    published(id: string): void {
      const nowMs = monotonicMs();
      const committedAtMs = waiting.get(id);
      if (committedAtMs !== undefined) {
        waiting.delete(id);
        return note(nowMs - committedAtMs);
      }
      if (nowMs - turnedAtMs > 3_000) {
        [young, old] = [new Map(), young];
        turnedAtMs = nowMs;
      }
      young.set(id, nowMs);
    },
    committed(marked: readonly MarkedCommit[]): void {
      for (const [id, atMs] of marked) {
        const publishedAtMs = young.get(id) ?? old.get(id);
        if (publishedAtMs === undefined) waiting.set(id, atMs);
        else note(publishedAtMs - atMs);
      }
    },
    say(): string {
      const at = (part: number): number => round(percentile(recent, part));
      const text = recent.length === 0 ? 'no lag known' : `lag p50 ${at(0.5)} ms, p99 ${at(0.99)}, max ${at(1)}`;
      recent = [];
      return text;
    },
    all: (): readonly number[] => all,
  };
}

/** Of all tables of the schema, with their indexes; and the rows of the log, as the statistics have them. */
async function sizes(database: Database): Promise<Omit<Look, 'at'>> {
  const { rows } = await database.query<{ bytes: string; live: string; dead: string }>(
    `SELECT sum(pg_total_relation_size(c.oid))::text AS bytes,
       max(pg_stat_get_live_tuples(c.oid)) FILTER (WHERE c.relname = 'outbox')::text AS live,
       max(pg_stat_get_dead_tuples(c.oid)) FILTER (WHERE c.relname = 'outbox')::text AS dead
     FROM pg_class c WHERE c.relnamespace = 'holdfast'::regnamespace AND c.relkind = 'r'`,
  );
  const [row] = rows;
  return { bytes: Number(row?.bytes), live: Number(row?.live), dead: Number(row?.dead) };
}
