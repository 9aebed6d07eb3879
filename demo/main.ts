/**
 * `npm run demo`: thousands of orders, each a saga over three services, with accidents on the way, and an audit at the end.
 *
 * What it looks like with Holdfast: sagas/place-order.ts, services/orders.ts and its neighbours. How the demo goes: here, then run.ts.
 */
import { compilePrograms } from '../.ci/compile-programs.ts';
import { formatTimeline } from '../src/cli/output/timeline.ts';
import { showRun, type RunSummary } from '../src/operations/sagas/sagas.ts';
import { audit, type Audit } from './audit.ts';
import { readBooks, type Books, type Databases } from './audit/books.ts';
import { mostEventful } from './audit/runs.ts';
import { BROKERS, openBacklog } from './broker.ts';
import { WORKERS } from './chaos.ts';
import { buildPage, openDashboard, type DemoDashboard } from './dashboard.ts';
import { demoFleet, launchFleet, PROGRAMS, type Fleet } from './fleet.ts';
import { KEPT_EVERY_MS, keepUp } from './keep.ts';
import { plannedAccidents } from './planned-accidents.ts';
import { readOptions, USAGE, type Options } from './options.ts';
import { runOrders, Stalled } from './run.ts';
import { openScreen } from './screen.ts';
import { createDatabases, createTables, openDatabases, refillServices, startServers } from './servers.ts';
import { SERVICE_NAMES } from './world.ts';

/** As shells have it for Ctrl-C. */
const INTERRUPTED = 130;
/** What comes of it then: once the audit is over, what the audit said. */
let whenInterrupted = INTERRUPTED;
/** Short, so that a successor takes over within a second or two of a death. */
const PACE = { relayLease: '1s', workerLease: '2s', idlePoll: '200ms' } as const;
/** What is to be done at the end, last things first. */
const cleanUps: (() => Promise<unknown>)[] = [];

const options = optionsOrExit();
const screen = openScreen(options.json ? process.stderr : process.stdout);
process.exit(await untilDoneOrInterrupted());

async function untilDoneOrInterrupted(): Promise<number> {
  const interrupted = new Promise<number>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve(whenInterrupted));
  });
  try {
    const code = await Promise.race([demo(options), interrupted]);
    if (code === INTERRUPTED) screen.failure('Interrupted.');
    return code;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    screen.failure(text);
    if (options.json) console.log(JSON.stringify({ ok: false, error: text }));
    return 1;
  } finally {
    screen.close();
    for (const cleanUp of cleanUps.toReversed()) await cleanUp().catch(() => {});
  }
}

/** Resolves with the exit code. */
async function demo({ orders, seed, transport, keep, ...given }: Options): Promise<number> {
  const pageFolder = given.dashboard ? buildPage() : null;
  screen.title(
    'Holdfast',
    `${orders} orders, each a saga over three services, and accidents on the way (seed ${seed})`,
  );
  const servers = await screen.phase(
    'servers',
    startServers(transport),
    ({ postgres, broker }) => `PostgreSQL ${postgres.version}, ${BROKERS[broker.kind]}`,
  );
  cleanUps.push(() => servers.dispose());
  if (servers.note !== undefined) screen.note(servers.note);
  const { broker } = servers;

  const urls = await screen.phase('databases', createDatabases(servers.postgres), () => 'one for each service');
  const databases = openDatabases(urls);
  cleanUps.push(() => Promise.all(Object.values(databases).map((database) => database.close())));
  await screen.phase(
    'tables',
    createTables(databases, { orders, seed }),
    () => 'of the services, with outbox and inbox beside',
  );

  const programs = await compilePrograms(PROGRAMS);
  cleanUps.push(() => programs.dispose());
  const dashboard = await look(pageFolder === null ? null : { databases, broker, port: given.port, pageFolder });
  const settings = { world: { orders, seed }, databases: urls, broker, pace: PACE };
  const fleet = launchFleet(demoFleet(settings), programs);
  await startAll(fleet);

  const backlog = openBacklog(broker);
  cleanUps.push(() => backlog.close());
  const run = runOrders({
    fleet,
    databases,
    backlog,
    screen,
    orders,
    relays: ['relay'],
    workers: WORKERS,
    accidents: plannedAccidents,
  });
  // A run that never ends is audited all the same: the audit tells best what is missing.
  const complaint = await Promise.race([run, fleet.failure]).catch((error: unknown) => {
    if (error instanceof Stalled) return error.message;
    throw error;
  });
  if (typeof complaint === 'string') screen.failure(complaint);
  await fleet.dispose();
  const books = await readBooks(databases);
  const told = await tell(books, databases);
  const code = present(audit(books, orders), fleet, broker.kind) && complaint === undefined ? 0 : 1;
  if (!keep) {
    if (dashboard !== null) screen.say('It stays up, with something to mend, by: npm run demo -- --keep\n');
    return code;
  }

  whenInterrupted = code;
  await refillServices(databases);
  const world = { ...settings.world, thenEveryMs: KEPT_EVERY_MS };
  const after = launchFleet(demoFleet({ ...settings, world }), programs, {
    onAlert: (text) => screen.note(`alert: ${text}`),
  });
  await startAll(after);
  keepUp({ fleet: after, screen, dashboard, run: told, input: process.stdin });
  return after.failure;
}

/** Ended with the demo. */
async function startAll(fleet: Fleet): Promise<void> {
  cleanUps.push(() => fleet.dispose());
  const all = Promise.all([...SERVICE_NAMES, ...WORKERS, 'relay' as const].map((name) => fleet.start(name)));
  await screen.phase('processes', all, () => `${SERVICE_NAMES.join(', ')}, two workers, and the relay`);
}

/** Null without a dashboard: nobody asked for it, or there is something wrong with it, which is no reason to go without the rest. */
async function look(wanted: Parameters<typeof openDashboard>[0] | null): Promise<DemoDashboard | null> {
  if (wanted === null) return null;
  try {
    const opened = await screen.phase('dashboard', openDashboard(wanted), (made) => made.url);
    cleanUps.push(() => opened.close());
    return opened;
  } catch (error) {
    screen.note(`There is no dashboard: ${error instanceof Error ? error.message : String(error)}`);
    return null;
  }
}

/** One of the runs that were compensated, as `holdfast saga show` draws it; null when there is none. */
async function tell({ runs }: Books, { orders }: Databases): Promise<RunSummary | null> {
  const run = mostEventful(runs);
  if (run === null) return null;
  const { run: summary, journal, now } = await showRun(orders, run.id);
  screen.story('One of the runs that were compensated', (ui) =>
    formatTimeline({ run: summary, rows: journal, now }, ui),
  );
  return summary;
}

/** Shows the audit. False when something in it is wrong. */
function present(result: Audit, fleet: Fleet, transport: string): boolean {
  const { sections, ok: clean, ...figures } = result;
  const duplicates = fleet.counted('duplicates');
  const copied = fleet.counted('copied');
  const suppressed = {
    what: 'duplicates dropped',
    found: duplicates,
    note: `${copied} were sent twice on purpose`,
    ok: duplicates > 0,
  };
  const ok = clean && suppressed.ok;
  const kills = fleet.counted('killed');
  const seconds = Math.round(performance.now() / 100) / 10;
  screen.scoreboard(
    'The audit, from the tables of the four services',
    sections.map((section, index) =>
      index === 0 ? { ...section, findings: [...section.findings, suppressed] } : section,
    ),
  );
  const verdict = ok
    ? 'Every order is carried out or compensated. Nothing lost, nothing twice.'
    : 'Something is wrong: see above.';
  screen.verdict(ok, `${verdict} ${kills} kills, ${seconds} s.`);
  if (options.json) {
    const { orders, committed, delivered, lost, outOfOrder, ...more } = figures;
    const messages = { orders, committed, delivered, duplicatesSuppressed: duplicates, lost, outOfOrder };
    const counts = { copied, repeated: fleet.counted('repeated'), retries: fleet.counted('retries') };
    console.log(JSON.stringify({ ...messages, kills, seconds, ok, ...more, seed: options.seed, transport, ...counts }));
  }
  return ok;
}

function optionsOrExit(): Options {
  try {
    const read = readOptions(process.argv.slice(2));
    if (read !== 'help') return read;
    console.log(USAGE);
    return process.exit(0);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    return process.exit(2);
  }
}
