/**
 * `npm run soak:cluster`: four relays, four workers and three participants on a cluster of brokers, all of which are killed at random while
 * orders come in, and the audit of the demo at the end.
 */
import { parseArgs } from 'node:util';
import { readFileSync } from 'node:fs';
import { compilePrograms } from '../.ci/compile-programs.ts';
import { seededRandom } from '../src/testing/seeded-random.ts';
import { audit } from './audit.ts';
import { readBooks, type Databases } from './audit/books.ts';
import { BROKERS, openBacklog } from './broker.ts';
import type { ProcessName } from './chaos.ts';
import { launchFleet, PROGRAMS, type Fleet } from './fleet.ts';
import { randomAccidents } from './random-accidents.ts';
import { runOrders, Stalled } from './run.ts';
import { openScreen } from './screen.ts';
import { createDatabases, createTables, openDatabases, startServers } from './servers.ts';
import { SERVICE_NAMES, type World } from './world.ts';

const USAGE = `Usage: npm run soak:cluster -- [options]

Options:
  --minutes N       for how long orders come in (default 3)
  --rate N          orders a second, or as many as can be done (default 6)
  --broker NAME     nats-cluster (default) or rabbitmq-cluster
  --seed N          decides who is killed and when, and what goes wrong with orders (default: another one each time)
  --json            the audit and the figures as one line of JSON at the end`;

const RELAYS: readonly ProcessName[] = ['relay-1', 'relay-2', 'relay-3', 'relay-4'];
const WORKERS: readonly ProcessName[] = ['worker-1', 'worker-2', 'worker-3', 'worker-4'];
const CLUSTERS = ['nats-cluster', 'rabbitmq-cluster'] as const;
const LOOK_EVERY_MS = 5_000;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '3' },
    rate: { type: 'string', default: '6' },
    broker: { type: 'string', default: 'nats-cluster' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
const cleanUps: (() => Promise<unknown>)[] = [];
const screen = openScreen(values.json ? process.stderr : process.stdout);

if (values.help) console.log(USAGE);
else {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void end(130));
  await end(await soak().catch((error: unknown) => fail(error)));
}

async function end(code: number): Promise<never> {
  screen.close();
  for (const cleanUp of cleanUps.toReversed()) await cleanUp().catch(() => {});
  process.exit(code);
}

function fail(error: unknown): number {
  screen.failure(error instanceof Error ? error.message : String(error));
  return 1;
}

/** Resolves with the exit code. */
async function soak(): Promise<number> {
  const minutes = positive(values.minutes, '--minutes');
  const rate = positive(values.rate, '--rate');
  const seed = Number(values.seed);
  const kind = CLUSTERS.find((name) => name === values.broker);
  if (kind === undefined) throw new Error(`--broker is ${values.broker}: give one of ${CLUSTERS.join(', ')}.`);
  const orders = Math.max(20, Math.round(minutes * 60 * rate));
  const world: World = { orders, seed, intakeMs: minutes * 60_000 };
  screen.title('Holdfast', `${orders} orders in ${minutes} min, and accidents at random (--seed ${seed})`);

  const servers = await screen.phase('servers', startServers(kind), ({ postgres }) =>
    [`PostgreSQL ${postgres.version}`, BROKERS[kind]].join(', '),
  );
  cleanUps.push(() => servers.dispose());
  const urls = await createDatabases(servers.postgres);
  const databases = openDatabases(urls);
  cleanUps.push(() => Promise.all(Object.values(databases).map((database) => database.close())));
  await createTables(databases, world);
  const programs = await compilePrograms(PROGRAMS);
  cleanUps.push(() => programs.dispose());
  const fleet = launchFleet({ world, databases: urls, broker: servers.broker, shards: RELAYS.length }, programs);
  cleanUps.push(() => fleet.dispose());
  const processes = [...SERVICE_NAMES, ...WORKERS, ...RELAYS];
  await screen.phase('processes', Promise.all(processes.map((name) => fleet.start(name))), () => processes.join(', '));

  const kills = new Map<string, number>();
  const random = seededRandom(seed);
  const accidents = randomAccidents({
    random,
    processes,
    nodes: servers.nodes,
    onAccident(victim, downMs) {
      kills.set(victim, (kills.get(victim) ?? 0) + 1);
      screen.note(`${victim} was killed, and is back after ${(downMs / 1_000).toFixed(1)} s`);
    },
  });
  const sizes = watchSizes(fleet, databases);
  const backlog = openBacklog(servers.broker);
  cleanUps.push(() => backlog.close());
  const run = runOrders({ fleet, databases, backlog, screen, orders, relays: RELAYS, workers: WORKERS, accidents });
  const complaint = await Promise.race([run, fleet.failure]).catch((error: unknown) => {
    if (error instanceof Stalled) return error.message;
    throw error;
  });
  if (typeof complaint === 'string') screen.failure(complaint);
  const figures = { ...(await sizes.stop()), kills: Object.fromEntries(kills), seed, broker: kind };
  await fleet.dispose();
  const { sections, ok: clean, ...counted } = audit(await readBooks(databases), orders);
  const ok = clean && complaint === undefined;
  screen.scoreboard('The audit, from the tables of the four services', sections);
  screen.say(
    `  Killed: ${[...kills].map(([name, times]) => `${name} ${times}`).join(', ')}.\n  Memory of a process, at most: ${figures.mostMiB} MiB.\n`,
  );
  screen.verdict(
    ok,
    ok ? 'Nothing lost, nothing twice.' : `Something is wrong: repeat it with --seed ${seed} --broker ${kind}.`,
  );
  if (values.json) console.log(JSON.stringify({ ok, ...counted, ...figures }));
  return ok ? 0 : 1;
}

interface Sizes {
  /** Of the process that has most, as the system counts it; 0 where it does not tell. */
  readonly mostMiB: number;
  /** The mean of all processes in the first third of the time, and in the last. */
  readonly firstMiB: number;
  readonly lastMiB: number;
  /** Of all four databases at the end. */
  readonly databaseMiB: number;
  readonly seconds: number;
}

function watchSizes(fleet: Fleet, databases: Databases): { stop(): Promise<Sizes> } {
  const beganMs = performance.now();
  const means: number[] = [];
  let mostMiB = 0;
  const timer = setInterval(() => {
    const sizes = fleet.pids().flatMap(residentMiB);
    if (sizes.length === 0) return;
    mostMiB = Math.max(mostMiB, ...sizes);
    means.push(meanOf(sizes));
  }, LOOK_EVERY_MS);
  return {
    async stop() {
      clearInterval(timer);
      const bytes = await Promise.all(
        SERVICE_NAMES.map(async (name) => {
          const sql = 'SELECT pg_database_size(current_database())::float8 AS bytes';
          return (await databases[name].query<{ bytes: number }>(sql)).rows[0]?.bytes ?? 0;
        }),
      );
      const third = Math.ceil(means.length / 3);
      return {
        mostMiB: Math.round(mostMiB),
        firstMiB: Math.round(meanOf(means.slice(0, third))),
        lastMiB: Math.round(meanOf(means.slice(-third))),
        databaseMiB: Math.round(bytes.reduce((sum, each) => sum + each, 0) / 1_048_576),
        seconds: Math.round((performance.now() - beganMs) / 1_000),
      };
    },
  };
}

/** None where the system does not tell: Linux does. */
function residentMiB(pid: number): readonly number[] {
  try {
    const [, kib = ''] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return kib === '' ? [] : [Number(kib) / 1_024];
  } catch {
    return [];
  }
}

function meanOf(numbers: readonly number[]): number {
  return numbers.length === 0 ? 0 : numbers.reduce((sum, each) => sum + each, 0) / numbers.length;
}

function positive(text: string, name: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new Error(`${name} is ${JSON.stringify(text)}: give a number above 0.`);
}
