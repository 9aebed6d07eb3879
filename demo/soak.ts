/**
 * `npm run soak:cluster`: four relays, four workers and three participants on a cluster of brokers, all of which are killed at random while
 * orders come in, and the audit of the demo at the end.
 */
import { parseArgs } from 'node:util';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compilePrograms } from '../.ci/compile-programs.ts';
import { seededRandom } from '../src/testing/seeded-random.ts';
import { audit } from './audit.ts';
import { readBooks } from './audit/books.ts';
import { undelivered } from './audit/messages.ts';
import { BROKERS, openBacklog } from './broker.ts';
import type { ProcessName } from './chaos.ts';
import { demoFleet, launchFleet, PROGRAMS } from './fleet.ts';
import { readProgress } from './progress.ts';
import { randomAccidents } from './random-accidents.ts';
import { runOrders, Stalled } from './run.ts';
import { openScreen } from './screen.ts';
import { createDatabases, createTables, openDatabases, startServers } from './servers.ts';
import { tableOf, watchSizes } from './sizes.ts';
import { SERVICE_NAMES, type World } from './world.ts';

const USAGE = `Usage: npm run soak:cluster -- [options]

Options:
  --minutes N       for how long orders come in (default 3)
  --rate N          orders a second at most (default 6): no more are taken while 48 are under way
  --broker NAME     nats-cluster (default) or rabbitmq-cluster
  --seed N          decides who is killed and when, and what goes wrong with orders (default: another one each time)
  --logs FOLDER     what the processes log, where the servers are, and at the end which messages are missing
  --json            the audit and the figures as one line of JSON at the end`;

const RELAYS: readonly ProcessName[] = ['relay-1', 'relay-2', 'relay-3', 'relay-4'];
const WORKERS: readonly ProcessName[] = ['worker-1', 'worker-2', 'worker-3', 'worker-4'];
/** As long as one would have them in earnest where others use the machine too: a process that was held up has not died. */
const PACE = { relayLease: '5s', workerLease: '5s', idlePoll: '1s' } as const;
const CLAIM = '5s' as const;
/** Longer than a cluster takes to elect who leads a queue: else most orders would be given up for it. */
const PATIENCE_MS = 6_000;
/** What the processes take until they are at work, about. */
const START_MS = 10_000;
const CLUSTERS = ['nats-cluster', 'rabbitmq-cluster'] as const;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '3' },
    rate: { type: 'string', default: '6' },
    broker: { type: 'string', default: 'nats-cluster' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
    logs: { type: 'string' },
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
  const intakeMs = minutes * 60_000;
  screen.title('Holdfast', `orders for ${minutes} min, and accidents at random (--seed ${seed})`);

  const servers = await screen.phase('servers', startServers(kind), ({ postgres }) =>
    [`PostgreSQL ${postgres.version}`, BROKERS[kind]].join(', '),
  );
  cleanUps.push(() => servers.dispose());
  const urls = await createDatabases(servers.postgres);
  const databases = openDatabases(urls);
  cleanUps.push(() => Promise.all(Object.values(databases).map((database) => database.close())));
  await createTables(databases, { orders, seed });
  const programs = await compilePrograms(PROGRAMS);
  cleanUps.push(() => programs.dispose());
  const broker = { ...servers.broker, claim: CLAIM };
  const world: World = { orders, seed, intakeMs, untilMs: Date.now() + START_MS + intakeMs, patienceMs: PATIENCE_MS };
  const settings = { world, databases: urls, broker, shards: RELAYS.length, pace: PACE };
  if (values.logs !== undefined) {
    mkdirSync(values.logs, { recursive: true });
    // For whoever wants to look while it runs: the servers are private, and gone at the end.
    writeFileSync(join(values.logs, 'servers.json'), JSON.stringify({ databases: urls, broker: servers.broker.url }));
  }
  const fleet = launchFleet(demoFleet(settings), programs, { logs: values.logs });
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
    onAbsence(victim, downMs, why) {
      const after = `${(downMs / 1_000).toFixed(0)} s after it was killed`;
      screen.note(`${victim} runs again, and is not in step with its cluster ${after}: ${why}`);
    },
  });
  const sizes = watchSizes(fleet, databases);
  cleanUps.push(() => sizes.stop());
  const backlog = openBacklog(servers.broker);
  cleanUps.push(() => backlog.close());
  const run = runOrders({
    fleet,
    databases,
    backlog,
    screen,
    orders,
    relays: RELAYS,
    workers: WORKERS,
    accidents,
    pollMs: 1_000,
  });
  const complaint = await Promise.race([run, fleet.failure]).catch((error: unknown) => {
    if (error instanceof Stalled) return error.message;
    throw error;
  });
  if (typeof complaint === 'string') screen.failure(complaint);
  const { seconds, samples } = await sizes.stop();
  await fleet.dispose();
  const { placed } = await readProgress(databases);
  const books = await readBooks(databases);
  const { sections, ok: clean, ...counted } = audit(books, placed);
  if (values.logs !== undefined)
    writeFileSync(join(values.logs, 'undelivered.json'), JSON.stringify(undelivered(books), null, 2));
  const ok = clean && complaint === undefined;
  screen.scoreboard('The audit, from the tables of the four services', sections);
  screen.say(`  Killed: ${[...kills].map(([name, times]) => `${name} ${times}`).join(', ')}.\n\n${tableOf(samples)}\n`);
  screen.verdict(
    ok,
    ok ? 'Nothing lost, nothing twice.' : `Something is wrong: repeat it with --seed ${seed} --broker ${kind}.`,
  );
  if (values.json)
    console.log(
      JSON.stringify({ ok, ...counted, kills: Object.fromEntries(kills), seed, broker: kind, seconds, samples }),
    );
  return ok ? 0 : 1;
}

function positive(text: string, name: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new Error(`${name} is ${JSON.stringify(text)}: give a number above 0.`);
}
