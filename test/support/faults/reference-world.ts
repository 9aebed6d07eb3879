/**
 * Where the reference sagas live and die: a database with a clock that is moved, the services around them, and one worker after the
 * other. `attempt` takes one run from its start to its end, through as many deaths as are planned, and has it judged.
 */
import type pg from 'pg';
import { openDatabase } from '../../../src/postgres/database.ts';
import { migrate } from '../../../src/postgres/migrator.ts';
import { createSagas } from '../../../src/saga/client/client.ts';
import type { JournalRow } from '../../../src/saga/journal/events.ts';
import { createPostgresClientStore } from '../../../src/saga/store/postgres/postgres-client-store.ts';
import { createPostgresWorkerStore } from '../../../src/saga/store/postgres/postgres-worker-store.ts';
import { createSagaReplies } from '../../../src/saga/protocol/replies.ts';
import { eventually } from '../eventually.ts';
import type { startChild } from './child.ts';
import { createHandPost } from './hand-post.ts';
import { beginWorker, type MortalWorker } from './mortal-worker.ts';
import { adoptClock, installClock, openClock } from './moved-clock.ts';
import { counter, type Deaths, type ReferenceChildSettings } from './reference-deaths.ts';
import { judgeRun } from './reference-judge.ts';
import { live, VISITS } from './reference-life.ts';
import { openReferenceOutside } from './reference-outside.ts';
import { openBooks, referenceScenarios, type Scenario } from './reference-scenarios.ts';
import { REFERENCE_TABLES, referenceServices, SERVICE_ROUTES } from './reference-services.ts';

export interface AttemptOptions {
  /** Default: nobody dies. */
  readonly deaths?: Deaths;
  /** The first one to die is a process of its own, and dies by SIGKILL. Default: it is abandoned in this one. */
  readonly bySignal?: boolean;
}

export interface Attempt {
  /** The points that were passed in this process, in order. */
  readonly points: readonly string[];
  /** Those at which workers died. */
  readonly died: readonly string[];
  /** Everything that does not hold, in words, with what is needed to see why. */
  readonly breaches: readonly string[];
}

export interface ReferenceWorld {
  readonly scenarios: readonly Scenario[];
  /** A run of the scenario from its start to its end. */
  attempt(scenario: Scenario, options?: AttemptOptions): Promise<Attempt>;
  /** A run that is there already, until it has ended (true) or its worker has died. */
  carryOn(scenario: string, id: string, diesAt: (point: string) => boolean): Promise<boolean>;
  close(): Promise<void>;
}

/** Tables and clock of a database that has nothing in it yet. */
export async function prepareReferenceDatabase(url: string, pool: pg.Pool): Promise<void> {
  await installClock(pool);
  const database = openDatabase({ url, max: 2 });
  await migrate(database);
  await adoptClock(pool);
  await database.query(`${REFERENCE_TABLES}; ${VISITS}`);
  await database.close();
}

/**
 * @param ledger path of the file that is the memory of third parties
 * @param start starts the processes that are killed; one of these has none to start
 */
export async function openReferenceWorld(
  url: string,
  ledger: string,
  start?: typeof startChild,
): Promise<ReferenceWorld> {
  const database = openDatabase({ url, max: 10 });
  const { pool } = database;
  const clock = await openClock(pool);
  const outside = openReferenceOutside(ledger);
  const scenarios = referenceScenarios(outside);
  const registered = [...new Set(scenarios.map(({ saga }) => saga))];
  const sagas = createSagas({ database, sagas: registered });
  const store = createPostgresClientStore({ database });
  const undertaker = createPostgresWorkerStore({ database });
  const post = createHandPost(database, SERVICE_ROUTES);
  const services = [
    referenceServices(database, post.transport),
    createSagaReplies({ database, transport: post.transport }),
  ];
  for (const service of services) await service.start();
  let workers = 0;
  let attempts = 0;
  let worker: MortalWorker | null = null;
  let passed: (point: string) => boolean = () => false;

  /** The one that lives, or an heir. It serves run after run until it dies. */
  async function living(): Promise<MortalWorker> {
    if (worker?.dead === false) return worker;
    await bury();
    workers += 1;
    worker = await beginWorker({
      url,
      name: `reference-${process.pid}-${workers}`,
      sagas: registered,
      nowMs: clock.nowMs,
      diesAt: (point) => passed(point),
    });
    return worker;
  }

  /** The leases of the dead are over. What the server still carries out for them is waited for, as by any takeover. */
  async function bury(): Promise<void> {
    await pool.query(`UPDATE holdfast.worker SET lease_until = '-infinity'`);
    await eventually('the dead to be taken over from', async () => {
      await undertaker.takeOver();
      return (await pool.query('SELECT 1 FROM holdfast.worker')).rowCount === 0;
    });
  }

  async function carryOn(scenario: Scenario, id: string): Promise<boolean> {
    return live({ pool, clock, post, sagas, scenario, id, worker: await living() });
  }

  /** Resolves whether it died where it was meant to, and not at the end. */
  async function killProcess(scenario: Scenario, id: string, death: Deaths): Promise<boolean> {
    const settings: ReferenceChildSettings = { url, ledger, scenario: scenario.name, id, death };
    if (start === undefined) throw new Error('There is nobody to start a process.');
    const child = start('reference-child.ts', settings);
    const { signal } = await child.exit;
    if (signal !== 'SIGKILL') throw new Error(`The process that was to be killed ended by itself.\n${child.log}`);
    await clock.read();
    return !child.has('ended');
  }

  async function explain(id: string): Promise<readonly string[]> {
    const journal = await store.journal(id);
    return [
      ...journal.map(({ n, events }) => `  ${n}  ${events.map((event) => JSON.stringify(event)).join(' ')}`),
      ...(worker?.log ?? []).map((line) => `  ${line}`),
    ];
  }

  return {
    scenarios,
    async attempt(scenario, { deaths, bySignal = false } = {}) {
      attempts += 1;
      const of = `${scenario.saga.name}-${attempts}`;
      const count = counter(bySignal ? null : (deaths ?? null));
      const earlier: (readonly JournalRow[])[] = [];
      const breaches: string[] = [];
      await openBooks(pool, of);
      // Or it would take the run up before the other process does.
      if (bySignal) await worker?.stop().finally(() => (worker = null));
      const { id } = await scenario.start(sagas, of);
      passed = count.diesAt;
      try {
        if (bySignal && deaths !== undefined) {
          if (await killProcess(scenario, id, deaths)) count.died.push(deaths.point);
          earlier.push(await store.journal(id));
        }
        while (!(await carryOn(scenario, id))) earlier.push(await store.journal(id));
      } catch (error) {
        breaches.push(String(error));
      }
      passed = () => false;
      await post.forget();
      breaches.push(...(await judgeRun(pool, store, { scenario, id, of, earlier, notes: outside.notes() })));
      if (breaches.length > 0) breaches.push(...(await explain(id)));
      return { points: count.points, died: count.died, breaches };
    },
    async carryOn(name, id, diesAt) {
      const scenario = scenarios.find((each) => each.name === name);
      if (scenario === undefined) throw new Error(`There is no scenario '${name}'.`);
      passed = diesAt;
      return carryOn(scenario, id);
    },
    async close() {
      await worker?.stop();
      for (const service of services) await service.stop({ signal: AbortSignal.timeout(5_000) });
      await undertaker.close();
      await database.close();
      outside.close();
    },
  };
}
