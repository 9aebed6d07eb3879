/**
 * relay.latency.p50 and relay.latency.p99: from COMMIT having returned to publish() having been called with the message, at a steady
 * 300 messages a second, each in a transaction of its own, by the machine's monotonic clock.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Client } from 'pg';
import { openDatabase } from '../src/postgres/database.ts';
import { createRelay } from '../src/relay/relay.ts';
import type { Committed } from './latency-writers.ts';
import { monotonicMs } from './support/clock.ts';
import { figure, median, percentile, round, type Benchmark, type BenchContext, type Figure } from './support/figure.ts';
import type { BenchDatabase } from './support/servers.ts';
import { noopSink } from './support/sink.ts';

const P50 = 'relay.latency.p50';
const P99 = 'relay.latency.p99';
const PER_SECOND = 300;
const LIMIT_MS = { [P50]: 0.5, [P99]: 3 };
/** Of a network's round trips, so many more: a commit is seen by the next look that comes to the server. */
const LIMIT_ROUND_TRIPS = { [P50]: 1, [P99]: 2 };

interface Run {
  readonly delaysMs: readonly number[];
  readonly notifies: number;
}

export const latency: Benchmark = {
  names: [P50, P99],

  async run(context, wanted) {
    const seconds = context.quick ? 3 : 10;
    const rounds = context.quick ? 1 : 3;
    const bench = await context.servers.database();
    const runs: Run[] = [];
    try {
      await steady(bench, 1);
      for (let index = 0; index < rounds; index += 1) {
        const run = await steady(bench, seconds);
        runs.push(run);
        note(context, index, run);
      }
    } finally {
      await bench.drop();
    }
    const messages = runs.reduce((sum, run) => sum + run.delaysMs.length, 0);
    const notifies = runs.reduce((sum, run) => sum + run.notifies, 0);
    const figureOf = (name: typeof P50 | typeof P99, part: number): Figure =>
      figure(
        {
          bench: name,
          value: median(runs.map((run) => percentile(run.delaysMs, part))),
          unit: 'ms',
          against: 'limit',
          againstValue: LIMIT_MS[name] + LIMIT_ROUND_TRIPS[name] * context.rttMs,
          target: { atMost: 1 },
        },
        { perSecond: PER_SECOND, messages, notifies, rounds },
      );
    return [figureOf(P50, 0.5), figureOf(P99, 0.99)].filter((each) => wanted.has(each.bench));
  },
};

function note(context: BenchContext, index: number, { delaysMs, notifies }: Run): void {
  const at = (part: number): number => round(percentile(delaysMs, part));
  context.note(
    `latency, round ${index + 1}: p50 ${at(0.5)} ms, p90 ${at(0.9)}, p99 ${at(0.99)}, max ${at(1)}; ${notifies} notifies for ${delaysMs.length} messages`,
  );
}

async function steady(bench: BenchDatabase, seconds: number): Promise<Run> {
  await bench.database.query('TRUNCATE holdfast.outbox, holdfast.subscription');
  const published = new Map<string, number>();
  const sink = noopSink((batch) => {
    const nowMs = monotonicMs();
    for (const { id } of batch) published.set(id, nowMs);
  });
  const notified = await listen(bench);
  const database = openDatabase({ url: bench.url });
  const relay = createRelay({
    database,
    subscriptions: [{ name: 'steady', transport: sink.transport, routes: [{ topics: '**', to: 'sink' }] }],
  });
  await relay.start();
  const total = seconds * PER_SECOND;
  const committed = await writeElsewhere(bench.url, total);
  await sink.reached(total);
  await relay.stop();
  await notified.client.end();
  await database.close();
  // The relay can see a commit before its writer is told; that counts as no delay.
  const delaysMs = committed.map(([id, atMs]) => Math.max(0, (published.get(id) ?? Infinity) - atMs));
  return { delaysMs, notifies: notified.count() };
}

async function writeElsewhere(url: string, messages: number): Promise<readonly Committed[]> {
  const child = fork(fileURLToPath(new URL('latency-writers.js', import.meta.url)), [
    url,
    String(messages),
    String(PER_SECOND),
  ]);
  await once(child, 'message');
  child.send('go');
  const [committed] = (await once(child, 'message')) as [readonly Committed[]];
  return committed;
}

/** Counts the NOTIFYs that writers had to pay for. */
async function listen(bench: BenchDatabase): Promise<{ readonly client: Client; count(): number }> {
  const client = await bench.connect();
  let count = 0;
  client.on('notification', () => {
    count += 1;
  });
  await client.query(`LISTEN ${client.escapeIdentifier('"holdfast".wake')}`);
  return { client, count: () => count };
}
