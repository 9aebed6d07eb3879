/**
 * dashboard.cost: what it costs the relay that somebody looks. A backlog leaves while nobody looks, while one page is open, and while fifty
 * are, in turns; and how many statements a second the dashboard sends for one page and for fifty.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { openDatabase } from '../src/postgres/database.ts';
import { createRelay } from '../src/relay/relay.ts';
import type { DashboardNews, DashboardOrder } from './dashboard-process.ts';
import { alternate, figure, median, round, type Benchmark, type BenchContext, type Figure } from './support/figure.ts';
import type { BenchDatabase } from './support/servers.ts';
import { noopSink } from './support/sink.ts';
import { fillOutbox } from './support/workload.ts';

const NAME = 'dashboard.cost';
const PAGES = { off: 0, one: 1, fifty: 50 } as const;
type State = keyof typeof PAGES;
const STATES = ['off', 'one', 'fifty'] as const satisfies readonly State[];
/** Looking may cost two percent. */
const TARGET = { atLeast: 0.98 };

export const dashboardCost: Benchmark = {
  names: [NAME],

  async run(context) {
    const rows = context.quick ? 20_000 : Math.ceil(300_000 * (context.scale ?? 1));
    const rounds = context.quick ? 1 : 7;
    const bench = await context.servers.database();
    try {
      await fillOutbox(bench.database, rows);
      await bench.settle();
      const dashboard = await startDashboard(bench.url);
      try {
        const rates = await drains(context, { bench, dashboard, rows, rounds });
        const statements = await statementRates(context, dashboard);
        return figures(rates, statements, { rows, rounds });
      } finally {
        await dashboard.stop();
      }
    } finally {
      await bench.drop();
    }
  },
};

function figures(
  rates: Readonly<Record<State, readonly number[]>>,
  statements: { readonly one: number; readonly fifty: number },
  more: { readonly rows: number; readonly rounds: number },
): readonly Figure[] {
  const looked = (['one', 'fifty'] as const).map((state) =>
    figure(
      {
        bench: NAME,
        value: median(rates[state]),
        unit: 'msg/s',
        against: 'off',
        againstValue: median(rates.off),
        target: TARGET,
      },
      { of: 'relay.drain.noop', pages: PAGES[state], ...more },
    ),
  );
  const asked = figure(
    {
      bench: NAME,
      value: statements.fifty,
      unit: 'statements/s',
      against: 'one-page',
      againstValue: statements.one,
      // What falls to either side of the edges of a stretch.
      target: { atMost: 1.1 },
    },
    { of: 'statements', pages: PAGES.fifty },
  );
  return [...looked, asked];
}

interface Drains {
  readonly bench: BenchDatabase;
  readonly dashboard: Looking;
  readonly rows: number;
  readonly rounds: number;
}

async function drains(
  { note }: BenchContext,
  { bench, dashboard, rows, rounds }: Drains,
): Promise<Readonly<Record<State, readonly number[]>>> {
  const rates: Record<State, number[]> = { off: [], one: [], fifty: [] };
  // The first one warms up.
  for (let index = -1; index < rounds; index += 1) {
    for (const state of alternate(STATES, Math.abs(index))) {
      await bench.database.query('TRUNCATE holdfast.subscription');
      await dashboard.look(PAGES[state]);
      const rate = await drainOnce(bench.url, rows);
      if (index >= 0) rates[state].push(rate);
      note(`${NAME}, ${PAGES[state]} pages: ${round(rate)} msg/s`);
    }
  }
  return rates;
}

/** From the first message that goes out to the last: the relay's start is not what looking costs. */
async function drainOnce(url: string, rows: number): Promise<number> {
  const database = openDatabase({ url });
  let startedAt = 0;
  const sink = noopSink((_batch, before) => {
    if (before === 0) startedAt = performance.now();
  });
  const relay = createRelay({
    database,
    subscriptions: [{ name: 'drain', transport: sink.transport, routes: [{ topics: '**', to: 'sink' }] }],
  });
  await relay.start();
  await sink.reached(rows);
  const rate = (rows / (performance.now() - startedAt)) * 1_000;
  await relay.stop();
  await database.close();
  return rate;
}

async function statementRates(
  { quick, note }: BenchContext,
  dashboard: Looking,
): Promise<{ readonly one: number; readonly fifty: number }> {
  const seconds = quick ? 4 : 30;
  const rateOf = async (pages: number): Promise<number> => {
    await dashboard.look(pages);
    await untilItReads(dashboard);
    const before = await dashboard.statements();
    await sleep(seconds * 1_000);
    const rate = ((await dashboard.statements()) - before) / seconds;
    note(`${NAME}, ${pages} pages: ${round(rate)} statements/s`);
    return rate;
  };
  return { one: await rateOf(PAGES.one), fifty: await rateOf(PAGES.fifty) };
}

/** Until it has begun a reading: the one that it was stopped in took long by its clock, and it pauses for as many times as long. */
async function untilItReads(dashboard: Looking): Promise<void> {
  const before = await dashboard.statements();
  while ((await dashboard.statements()) === before) await sleep(100);
}

/** The dashboard in its process. */
interface Looking {
  /** Resolves once so many pages are open and have heard something. With none, the process stands still. */
  look(pages: number): Promise<void>;
  /** Sent to PostgreSQL until now. */
  statements(): Promise<number>;
  stop(): Promise<void>;
}

async function startDashboard(url: string): Promise<Looking> {
  // stdout is for figures.
  const child = fork(fileURLToPath(new URL('dashboard-process.js', import.meta.url)), [url], {
    stdio: ['ignore', 2, 2, 'ipc'],
  });
  await answerOf(child);
  const order = async (given: DashboardOrder): Promise<DashboardNews> => {
    child.send(given);
    return answerOf(child);
  };
  return {
    async look(pages) {
      child.kill('SIGCONT');
      await order({ pages });
      if (pages === 0) child.kill('SIGSTOP');
    },
    statements: async () => (await order({})).statements,
    async stop() {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}

async function answerOf(child: ChildProcess): Promise<DashboardNews> {
  const ended = new AbortController();
  const failed = once(child, 'exit', { signal: ended.signal }).then(() => {
    throw new Error('the dashboard has ended');
  });
  // Stopped waiting for, below.
  failed.catch(() => undefined);
  const answered = once(child, 'message').then(([news]) => news as DashboardNews);
  const news = await Promise.race([answered, failed]);
  ended.abort();
  return news;
}
