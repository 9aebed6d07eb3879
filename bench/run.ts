/**
 * The benchmarks themselves; started by main.ts. One JSON line a figure on stdout, remarks on stderr. docs/benchmarks.md says what the
 * figures mean.
 */
import { parseArgs } from 'node:util';
import { parseDuration, type Duration } from '../src/runtime/duration.ts';
import { consume } from './consume.ts';
import { dashboardCost } from './dashboard-cost.ts';
import { drainBullmq } from './drain-bullmq.ts';
import { drain } from './drain.ts';
import { growth } from './growth.ts';
import { latency } from './latency.ts';
import { memory } from './memory.ts';
import { operationsLists } from './operations-lists.ts';
import { sagaCommand } from './saga-command.ts';
import { sagaLocal } from './saga-local.ts';
import { sagaRecovery } from './saga-recovery.ts';
import { sagaTransaction } from './saga-transaction.ts';
import { sagaWaiting } from './saga-waiting.ts';
import { send } from './send.ts';
import { steady } from './steady.ts';
import { traces } from './traces.ts';
import { transports } from './transports.ts';
import { webhooks } from './webhooks.ts';
import { median, round, type Benchmark, type BenchContext } from './support/figure.ts';
import { benchServers, type Servers } from './support/servers.ts';

const BENCHMARKS: readonly Benchmark[] = [
  drain,
  drainBullmq,
  latency,
  send,
  consume,
  memory,
  sagaLocal,
  sagaTransaction,
  sagaCommand,
  sagaRecovery,
  sagaWaiting,
  steady,
  growth,
  operationsLists,
  dashboardCost,
  traces,
  transports,
  webhooks,
];
const NAMES = BENCHMARKS.flatMap((benchmark) => benchmark.names);

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  const asked = readArguments(args);
  if (typeof asked === 'string') {
    console.error(
      `${asked}\nUsage: npm run bench -- [NAME…] [--quick] [--rtt 2ms] [--minutes N] [--per-second N] [--scale N]\nNames: ${NAMES.join(', ')}`,
    );
    return 2;
  }
  const servers = benchServers(asked.rttMs);
  const note = (text: string): void => console.error(text);
  try {
    if (asked.rttMs > 0) note(`A round trip to PostgreSQL takes ${round(await roundTripMs(servers))} ms.`);
    for (const benchmark of BENCHMARKS) {
      const wanted = new Set(benchmark.names.filter((name) => asked.names.has(name)));
      if (wanted.size === 0) continue;
      const { rttMs } = asked;
      for (const figure of await benchmark.run({ ...asked, servers, note }, wanted))
        console.log(JSON.stringify(rttMs > 0 ? { ...figure, rttMs } : figure));
    }
  } finally {
    await servers.dispose();
  }
  return 0;
}

interface Asked extends Pick<BenchContext, 'quick' | 'rttMs' | 'minutes' | 'perSecond' | 'scale'> {
  readonly names: ReadonlySet<string>;
}

/** What to run, or what is wrong with the arguments. */
function readArguments(args: string[]): Asked | string {
  try {
    const { positionals, values } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        quick: { type: 'boolean', default: false },
        rtt: { type: 'string', default: '0ms' },
        minutes: { type: 'string' },
        'per-second': { type: 'string' },
        scale: { type: 'string' },
      },
    });
    const unknown = positionals.filter((name) => !NAMES.includes(name));
    if (unknown.length > 0) return `There is no benchmark ${unknown.map((name) => `'${name}'`).join(', ')}.`;
    const number = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text));
    return {
      names: new Set(positionals.length === 0 ? NAMES : positionals),
      quick: values.quick,
      rttMs: parseDuration(values.rtt as Duration, '--rtt'),
      minutes: number(values.minutes),
      perSecond: number(values['per-second']),
      scale: number(values.scale),
    };
  } catch (error) {
    return (error as Error).message;
  }
}

/** What contestants find: the median of some statements that do nothing. */
async function roundTripMs(servers: Servers): Promise<number> {
  const bench = await servers.database();
  const client = await bench.connect();
  const tookMs: number[] = [];
  for (let n = 0; n < 50; n += 1) {
    const from = performance.now();
    await client.query('SELECT 1');
    tookMs.push(performance.now() - from);
  }
  await client.end();
  await bench.drop();
  return median(tookMs);
}
