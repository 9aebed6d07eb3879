/**
 * The benchmarks themselves; started by main.ts. One JSON line a figure on stdout, remarks on stderr. docs/benchmarks.md says what the
 * figures mean.
 */
import { parseArgs } from 'node:util';
import { consume } from './consume.ts';
import { drainBullmq } from './drain-bullmq.ts';
import { drain } from './drain.ts';
import { latency } from './latency.ts';
import { memory } from './memory.ts';
import { sagaCommand } from './saga-command.ts';
import { sagaLocal } from './saga-local.ts';
import { sagaRecovery } from './saga-recovery.ts';
import { sagaTransaction } from './saga-transaction.ts';
import { sagaWaiting } from './saga-waiting.ts';
import { send } from './send.ts';
import type { Benchmark } from './support/figure.ts';
import { benchServers } from './support/servers.ts';

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
];
const NAMES = BENCHMARKS.flatMap((benchmark) => benchmark.names);

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  const asked = readArguments(args);
  if (typeof asked === 'string') {
    console.error(`${asked}\nUsage: npm run bench -- [NAME…] [--quick]\nNames: ${NAMES.join(', ')}`);
    return 2;
  }
  const servers = benchServers();
  const note = (text: string): void => console.error(text);
  try {
    for (const benchmark of BENCHMARKS) {
      const wanted = new Set(benchmark.names.filter((name) => asked.names.has(name)));
      if (wanted.size === 0) continue;
      for (const figure of await benchmark.run({ quick: asked.quick, servers, note }, wanted))
        console.log(JSON.stringify(figure));
    }
  } finally {
    await servers.dispose();
  }
  return 0;
}

/** What to run, or what is wrong with the arguments. */
function readArguments(args: string[]): { readonly names: ReadonlySet<string>; readonly quick: boolean } | string {
  try {
    const { positionals, values } = parseArgs({
      args,
      allowPositionals: true,
      options: { quick: { type: 'boolean', default: false } },
    });
    const unknown = positionals.filter((name) => !NAMES.includes(name));
    if (unknown.length > 0) return `There is no benchmark ${unknown.map((name) => `'${name}'`).join(', ')}.`;
    return { names: new Set(positionals.length === 0 ? NAMES : positionals), quick: values.quick };
  } catch (error) {
    return (error as Error).message;
  }
}
