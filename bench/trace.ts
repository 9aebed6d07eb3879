/**
 * npm run trace -- [--inflight 1] [--runs 200] [--rtt 2ms]
 * Where the time of a saga of commands goes: what each hop of a command and its reply takes, and what waits for what. Started by main.ts.
 * docs/benchmarks.md says how to read it.
 */
import { parseArgs } from 'node:util';
import { openDatabase } from '../src/postgres/database.ts';
import { parseDuration, type Duration } from '../src/runtime/duration.ts';
import { commandSaga } from './contestants/command.ts';
import { closedLoop } from './support/closed-loop.ts';
import { round } from './support/figure.ts';
import { HopNotes } from './support/hop-notes.ts';
import { hopsOf } from './support/hops.ts';
import { benchServers } from './support/servers.ts';

const { values } = parseArgs({
  options: {
    inflight: { type: 'string', default: '1' },
    runs: { type: 'string', default: '200' },
    rtt: { type: 'string', default: '0ms' },
  },
});
const inflight = Number(values.inflight);
const servers = benchServers(parseDuration(values.rtt as Duration, '--rtt'));
try {
  const bench = await servers.database();
  const database = openDatabase({ url: bench.url, max: 20 });
  const notes = new HopNotes();
  const contestant = await commandSaga({ database, redisUrl: (await servers.redis()).url }, { notes });
  await closedLoop(contestant.run, { inflight, warmUpMs: 1_000, measureMs: 0, minRuns: inflight });
  await bench.settle();
  notes.forget();
  const loop = { inflight, warmUpMs: 0, measureMs: 0, minRuns: Number(values.runs) };
  const { perSecond, p50, p99 } = await closedLoop(contestant.run, loop);
  console.log(`${inflight} in flight: ${round(perSecond)} runs/s, p50 ${round(p50)} ms, p99 ${round(p99)} ms`);
  console.log(`${'ms'.padStart(8)}${'p90'.padStart(9)}   of ${values.runs} runs`);
  for (const { name, p50: middle, p90 } of hopsOf(notes.notes, notes.messages.values()))
    console.log(`${middle.toFixed(2).padStart(8)}${p90.toFixed(2).padStart(9)}   ${name}`);
  await contestant.close();
  await database.close();
  await bench.drop();
} finally {
  await servers.dispose();
}
