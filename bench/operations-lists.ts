/**
 * operations.lists: what a person or a dashboard asks for, on tables that are full: lists, searches, one message's path, and finding by a
 * name. Each line has the plan that the server takes.
 */
import { findAnything } from '../src/operations/path/find-anything.ts';
import { messagePath } from '../src/operations/path/message-path.ts';
import { listParked } from '../src/operations/parked/parked.ts';
import { searchMessages, type MessageSearch } from '../src/operations/reads/search-messages.ts';
import { searchRuns, type RunSearch } from '../src/operations/sagas/search-runs.ts';
import { showRun } from '../src/operations/sagas/sagas.ts';
import type { Database } from '../src/postgres/database.ts';
import { planning } from './support/plans.ts';
import { figure, median, percentile, round, type Benchmark, type BenchContext, type Figure } from './support/figure.ts';
import { grow } from './support/grown.ts';

const NAME = 'operations.lists';
const FULL = { messages: 10_000_000, ended: 2_000_000, waiting: 200_000 };
const MEDIAN_MS = 100;
const P99_MS = 300;
const ROUNDS = 100;
const HOUR_MS = 3_600_000;

export const operationsLists: Benchmark = {
  names: [NAME],

  async run(context) {
    const scale = context.scale ?? (context.quick ? 0.001 : 1);
    const rows = {
      messages: Math.ceil(FULL.messages * scale),
      ended: Math.ceil(FULL.ended * scale),
      waiting: Math.ceil(FULL.waiting * scale),
    };
    const bench = await context.servers.database();
    try {
      await grow(bench, rows, ['main']);
      const samples = await sample(bench.database);
      const figures: Figure[] = [];
      for (const [of, ask] of Object.entries(questions(samples)))
        figures.push({ ...(await measure(context, bench.database, { of, ask })), ...rows });
      return figures;
    } finally {
      await bench.drop();
    }
  },
};

/** Names of rows that are there, from all over the tables: each round asks for another one. */
interface Samples {
  readonly messages: readonly { readonly id: string; readonly order: string }[];
  readonly runs: readonly { readonly id: string; readonly run: number }[];
}

async function sample(database: Database): Promise<Samples> {
  const messages = await database.query<{ id: string; order: string }>(
    `SELECT o.id, o.payload ->> 'orderId' AS "order" FROM generate_series(1, ${ROUNDS}) n
     JOIN holdfast.outbox o ON o.seq = 1 + (n * (SELECT max(seq) FROM holdfast.outbox) / ${ROUNDS + 1})`,
  );
  const runs = await database.query<{ id: string; run: number }>(
    `SELECT r.id, (r.result ->> 'run')::int AS run FROM holdfast.saga_run r TABLESAMPLE SYSTEM (10)
     WHERE r.status = 'completed' LIMIT ${ROUNDS}`,
  );
  return { messages: messages.rows, runs: runs.rows };
}

type Ask = (database: Database, round: number) => Promise<unknown>;

function questions({ messages, runs }: Samples): Readonly<Record<string, Ask>> {
  const message = (n: number) => messages[n % messages.length] ?? { id: '', order: '' };
  const run = (n: number) => runs[n % runs.length] ?? { id: '', run: 0 };
  const ofMessages =
    (search: (n: number) => MessageSearch): Ask =>
    (on, n) =>
      searchMessages(on, search(n));
  const ofRuns =
    (search: (n: number) => RunSearch): Ask =>
    (on, n) =>
      searchRuns(on, search(n));
  const ago = (hours: number): Date => new Date(Date.now() - hours * HOUR_MS);
  let cursor: string | undefined;
  return {
    'messages, newest': ofMessages(() => ({})),
    'messages, page by page': async (on) => {
      const page = await searchMessages(on, { cursor, limit: 100 });
      cursor = page.older ?? undefined;
    },
    'messages by id': ofMessages((n) => ({ id: message(n).id })),
    'messages by the beginning of an id': ofMessages((n) => ({ id: message(n).id.slice(0, 13) })),
    'messages by topic': ofMessages(() => ({ topic: 'order.*' })),
    'messages by a topic that is not there': ofMessages(() => ({ topic: 'payment.*' })),
    'messages by key': ofMessages((n) => ({ key: `customer-${(n * 7) % 1_000}` })),
    'messages by time': ofMessages((n) => ({ since: ago(24 + n), until: ago(23 + n) })),
    'messages by payload': ofMessages((n) => ({ payload: { orderId: message(n).order } })),
    'messages by payload and time': ofMessages((n) => ({
      payload: { currency: 'EUR' },
      since: ago(2 + n),
      until: ago(1 + n),
    })),
    'messages by correlation id': ofMessages((n) => ({ correlationId: run(n).id })),
    'parked messages': (on) => listParked(on),
    'runs, newest': ofRuns(() => ({})),
    'runs of a saga': ofRuns(() => ({ saga: 'three-steps' })),
    'runs that wait': ofRuns(() => ({ status: ['waiting'] })),
    'stuck runs': ofRuns(() => ({ stuck: true })),
    'runs by key': ofRuns((n) => ({ key: `order-${n}` })),
    'runs by the beginning of an id': ofRuns((n) => ({ id: run(n).id.slice(0, 13) })),
    'runs by their end': ofRuns((n) => ({ finishedSince: ago(240 + n), finishedUntil: ago(200 + n) })),
    'runs by start': ofRuns((n) => ({ startedSince: ago(100 + n), startedUntil: ago(99 + n) })),
    'runs by input': ofRuns((n) => ({ input: { run: run(n).run } })),
    'path of a message': (on, n) => messagePath(on, message(n).id),
    'a run with its messages': (on, n) => showRun(on, run(n).id),
    'find by id': (on, n) => findAnything(on, message(n).id, { lookFor: '50ms' }),
    'find by a key': (on, n) => findAnything(on, `customer-${n}`, { lookFor: '50ms' }),
    'find what is not there': (on, n) => findAnything(on, `nobody-${n}`, { lookFor: '50ms' }),
  };
}

async function measure(
  { quick, note }: BenchContext,
  database: Database,
  { of, ask }: { readonly of: string; readonly ask: Ask },
): Promise<Figure> {
  const { database: asked, plans } = planning(database);
  await ask(asked, 0);
  const plan = await plans();
  const tookMs: number[] = [];
  for (let n = 0; n < (quick ? 5 : ROUNDS); n += 1) {
    const from = performance.now();
    await ask(database, n);
    tookMs.push(performance.now() - from);
  }
  const p99 = round(percentile(tookMs, 0.99));
  note(`${NAME}, ${of}: ${round(median(tookMs))} ms, p99 ${p99} ms: ${plan.join(' | ')}`);
  const compared = figure(
    {
      bench: NAME,
      value: median(tookMs),
      unit: 'ms',
      against: 'limit',
      againstValue: MEDIAN_MS,
      target: { atMost: 1 },
    },
    { of, p99, p99Limit: P99_MS, plan },
  );
  return { ...compared, met: compared.met && p99 <= P99_MS };
}
