/**
 * A worker on PostgreSQL that can die within the process of the test as it would by SIGKILL: on the spot, at one of its I/O points, its
 * connections cut, nothing said to the server. Whatever it was doing goes on nowhere: calls that are under way never answer, and no
 * new one gets out. What it leaves behind in the database is what a dead process leaves. Its clock is moved by hand, together with
 * the database's.
 */
import type pg from 'pg';
import { openDatabase, type Database } from '../../../src/postgres/database.ts';
import type { TransactionHandle } from '../../../src/postgres/executor.ts';
import type { Logger } from '../../../src/runtime/log.ts';
import { noopMetrics } from '../../../src/runtime/metrics.ts';
import { createRegistry, type AnySaga } from '../../../src/saga/definition/definition.ts';
import { createPostgresClientStore } from '../../../src/saga/store/postgres/postgres-client-store.ts';
import { createPostgresWorkerStore } from '../../../src/saga/store/postgres/postgres-worker-store.ts';
import type { WorkerStore } from '../../../src/saga/store/store.ts';
import { turn } from '../../../src/saga/replay/turn.ts';
import { DEFAULT_JOURNAL_LIMITS } from '../../../src/saga/journal/growth.ts';
import { DEFAULT_REPLY_TOPIC } from '../../../src/saga/protocol/wire.ts';
import { createWorkerCore } from '../../../src/saga/worker/worker-core.ts';
import { createManualClock } from '../../../src/testing/manual-clock.ts';

export interface MortalWorkerOptions {
  readonly url: string;
  readonly name: string;
  readonly sagas: readonly AnySaga[];
  /** What the database's clock says. */
  readonly nowMs: number;
  /** Asked at every I/O point; a yes is its death. May kill the process itself instead. */
  readonly diesAt: (point: string) => boolean;
}

export interface MortalWorker {
  readonly dead: boolean;
  /** Grows with everything that it does to the database and with every I/O point: while it stays, nothing goes on. */
  readonly happened: number;
  /** By the database's clock, when it has something to do next; Infinity: never. */
  readonly dueAtMs: number;
  /** Looks at the database once, and lets everything go on that it can; resolves as well when it dies. */
  goOn(): Promise<void>;
  /** After the database's clock was moved by as much. */
  advance(byMs: number): Promise<void>;
  stop(): Promise<void>;
  /** What it said of itself, last. */
  readonly log: readonly string[];
}

/** Leases end when a test ends them: longer than any time that it passes. */
const LEASE_MS = 400 * 365 * 86_400_000;
/** Of a transaction step that stands still. The machine may be slow; nothing here is meant to be ended by the server. */
const IDLE_IN_TRANSACTION_MS = 600_000;
/** The longest silence of the engine between two things that can be seen is shorter. */
const TURNS = 4;
const KEPT_LINES = 40;

export async function beginWorker(options: MortalWorkerOptions): Promise<MortalWorker> {
  const clock = createManualClock(options.nowMs);
  const lines: string[] = [];
  const never = new Promise<never>(() => {});
  const death = new AbortController();
  const died = new Promise<void>((resolve) => death.signal.addEventListener('abort', () => resolve()));
  const clients = new Set<pg.Client>();
  let happened = 0;
  let underWay = 0;
  let onIdle: () => void = () => {};
  /** What the look before this point has brought. */
  let found = 0;

  const database = openDatabase({ url: options.url, max: 6, applicationName: options.name });
  const keep = (client: pg.Client): void => {
    clients.add(client);
    if (death.signal.aborted) cut(client);
  };
  database.pool.on('connect', (client) => keep(client as pg.PoolClient & pg.Client));
  const kept: Database = {
    ...database,
    async dedicatedConnection(settings) {
      const client = await database.dedicatedConnection(settings);
      keep(client);
      return client;
    },
  };

  function die(): void {
    death.abort();
    for (const client of clients) cut(client);
    // No connection is opened any more; it is not waited for, because those that were out never come back.
    void database.close();
  }

  function pass(point: string): void {
    if (death.signal.aborted) throw new Error('The worker is dead.');
    happened += 1;
    if (!options.diesAt(point)) return;
    die();
    throw new Error(`The test has the worker die at ${point}.`);
  }

  /** Looks that find nothing are many, and nobody could tell a death there from one before. Claims are passed by the store itself. */
  const passInEngine = (point: string): void => {
    if (death.signal.aborted) throw new Error('The worker is dead.');
    if (point === 'saga.collect:after' ? found > 0 : !/^saga\.(collect|claim):/.test(point)) pass(point);
  };
  /** Of the store's own points those that the engine does not pass, just before or just after. */
  const passInStore = (point: string): void => {
    if (/^saga\.(claim|transaction\.commit):/.test(point)) pass(point);
  };

  function gate<T>(call: () => Promise<T>, isNews: (value: T) => boolean = () => true): Promise<T> {
    if (death.signal.aborted) return never;
    underWay += 1;
    return new Promise((resolve, reject) => {
      const settle = (then: () => void): void => {
        if (death.signal.aborted) return;
        then();
        underWay -= 1;
        if (underWay === 0) onIdle();
      };
      call().then(
        (value) =>
          settle(() => {
            if (isNews(value)) happened += 1;
            resolve(value);
          }),
        (error: unknown) => settle(() => reject(error)),
      );
    });
  }

  const log = lastLines(lines);
  const store = createPostgresWorkerStore({
    database: kept,
    log,
    clock,
    crashPoint: passInStore,
    idleInTransactionMs: IDLE_IN_TRANSACTION_MS,
    queryTimeoutMs: IDLE_IN_TRANSACTION_MS,
  });
  const gated: WorkerStore = {
    register: (worker) => gate(() => store.register(worker)),
    renew: (...given) => gate(() => store.renew(...given)),
    takeOver: () => gate(() => store.takeOver()),
    retire: (id, lost) => gate(() => store.retire(id, lost)),
    held: (id) => gate(() => store.held(id)),
    letGo: (...given) => gate(() => store.letGo(...given)),
    claim: (...given) =>
      gate(
        () => store.claim(...given),
        (claimed) => claimed.length > 0,
      ),
    collect: (...given) =>
      gate(
        () => store.collect(...given),
        ({ runMessages, claimed }) => (found = runMessages.length + claimed.length) > 0,
      ),
    commit: (...given) => gate(() => store.commit(...given)),
    transaction: (...given) => gate(() => store.transaction(...given)),
    offeredElsewhere: (...given) => gate(() => store.offeredElsewhere(...given)),
    goesOn: (...given) => gate(() => store.goesOn(...given)),
    nextDue: (...given) =>
      gate(
        () => store.nextDue(...given),
        () => false,
      ),
    now: () => gate(() => store.now()),
  };
  const core = createWorkerCore<TransactionHandle>({
    store: gated,
    clientStore: createPostgresClientStore({ database }),
    registry: createRegistry(options.sagas, 'beginWorker'),
    name: options.name,
    leaseMs: LEASE_MS,
    concurrency: 1_000,
    mostWaiting: 1_000,
    settings: { maxBytes: 1_048_576, replyTo: DEFAULT_REPLY_TOPIC, ...DEFAULT_JOURNAL_LIMITS },
    clock,
    random: () => 0.5,
    log,
    metrics: noopMetrics,
    crashPoint: passInEngine,
    idlePollMs: Infinity,
    setAsleep: async (asleep) => asleep,
  });
  await store.open();
  await core.start();

  return {
    get dead() {
      return death.signal.aborted;
    },
    get happened() {
      return happened;
    },
    get dueAtMs() {
      return options.nowMs + clock.nextDueMs;
    },
    async goOn() {
      await Promise.race([core.tick(), died]);
      do {
        for (let n = 0; n < TURNS && !death.signal.aborted; n += 1) await turn();
        if (underWay > 0) await Promise.race([new Promise<void>((resolve) => (onIdle = resolve)), died]);
      } while (underWay > 0 && !death.signal.aborted);
    },
    advance: (byMs) => clock.advance(byMs),
    async stop() {
      if (death.signal.aborted) return;
      await core.stop({ signal: AbortSignal.timeout(10_000) });
      await store.close();
      await database.close();
    },
    log: lines,
  };
}

/** As the end of its process does: the server finds the connection closed, whatever was on its way. */
function cut(client: pg.Client): void {
  const { connection } = client as unknown as { readonly connection?: { readonly stream?: { destroy(): void } } };
  connection?.stream?.destroy();
}

function lastLines(lines: string[]): Logger {
  const say =
    (level: string) =>
    (fields: object, text: string): void => {
      const { err } = fields as { readonly err?: unknown };
      lines.push(`${level}: ${text}${err instanceof Error ? `: ${err.message}` : ''}`);
      if (lines.length > KEPT_LINES) lines.shift();
    };
  const log: Logger = { debug: () => {}, info: say('info'), warn: say('warn'), error: say('error'), child: () => log };
  return log;
}
