/**
 * The store of workers on PostgreSQL: leases (worker-leases.ts), claims and run messages (run-claims.ts), and what is written under a
 * lease (group-commit.ts, transaction-step.ts). The duties stand in store.ts, the tables in migrations/0003_saga.sql.
 */
import type { Database } from '../../../postgres/database.ts';
import { systemClock, type Clock } from '../../../runtime/clock.ts';
import { noCrash, type CrashPoint } from '../../../runtime/crash-point.ts';
import type { Logger } from '../../../runtime/log.ts';
import { safeLogger } from '../../../runtime/observers.ts';
import { createSemaphore } from '../../../runtime/semaphore.ts';
import type { WorkerStore } from '../store.ts';
import { RunClaims } from './run-claims.ts';
import { StoreConnections } from './store-connections.ts';
import { SQL_NOW, StoreQueries } from './store-queries.ts';
import { runRunnerStep } from './runner-step.ts';
import { runTransactionStep, type Body } from './transaction-step.ts';
import { WorkerLeases } from './worker-leases.ts';

export interface PostgresWorkerStoreOptions {
  readonly database: Database;
  readonly log?: Logger | undefined;
  readonly crashPoint?: CrashPoint | undefined;
  readonly clock?: Clock | undefined;
  /** How long a transaction step may stand still before the server ends it, in ms; half a lease is right. Default 7500. */
  readonly idleInTransactionMs?: number | undefined;
  /** How long a commit waits for its answer before it is found out about, in ms. Default 10000. */
  readonly queryTimeoutMs?: number | undefined;
  /** A run with a larger journal is set aside as stuck and not loaded, in bytes. Default 128 MiB. */
  readonly largestJournalBytes?: number | undefined;
}

/** `open` checks that the database answers, also after a `close`, which waits for the commit under way and ends what cannot reach the database. */
export type PostgresWorkerStore = WorkerStore & { open(): Promise<void>; close(): Promise<void> };

const LARGEST_JOURNAL_BYTES = 128 * 1024 * 1024;

/** Connections of the pool that transaction steps leave to the lease, to claims and to whoever else uses the pool. */
const KEPT_FREE = 3;

export function createPostgresWorkerStore(options: PostgresWorkerStoreOptions): PostgresWorkerStore {
  const { database, crashPoint = noCrash, clock = systemClock } = options;
  const { idleInTransactionMs = 7_500, queryTimeoutMs = 10_000 } = options;
  const { largestJournalBytes = LARGEST_JOURNAL_BYTES } = options;
  const log = safeLogger(options.log);
  const on = new StoreQueries(database, queryTimeoutMs);
  const connections = new StoreConnections({ database, clock, log, crashPoint, queryTimeoutMs });
  const leases = new WorkerLeases(on, connections, log);
  const claims = new RunClaims({ on, connections, crashPoint, log, largestJournalBytes });
  const proved = new WeakSet<object>();
  const transacting = createSemaphore(Math.max(1, (database.pool.options.max ?? 10) - KEPT_FREE));

  return {
    async open() {
      connections.open();
      await on.rows('SELECT 1', []);
    },
    close: () => connections.close(),

    register: (worker) => leases.register(worker),
    renew: (workerId, leaseMs, draining) => leases.renew(workerId, leaseMs, draining),
    offeredElsewhere: (workerId, runId) => leases.offeredElsewhere(workerId, runId),
    goesOn: (runId) => leases.goesOn(runId),
    takeOver: () => leases.takeOver(),
    retire: (workerId, lost) => leases.retire(workerId, lost),
    held: (workerId) => leases.held(workerId),
    letGo: (workerId, runIds, delayMs) => leases.letGo(workerId, runIds, delayMs),

    claim: (workerId, wanted, room) => claims.claim(workerId, wanted, room),
    collect: (workerId, collectOptions) => claims.collect(workerId, collectOptions),
    nextDue: async (sagas, workerId) => (await claims.nextDue(sagas, workerId)).due,

    commit: (workerId, runs) => connections.commit(workerId, runs),
    transaction: (workerId, body, runner = null) =>
      transacting.run(() => {
        const stepOptions = { ...connections.patience, database, crashPoint, idleInTransactionMs, queryTimeoutMs };
        return runner === null
          ? runTransactionStep(stepOptions, workerId, body as unknown as Body)
          : runRunnerStep({ ...stepOptions, runner, proved }, workerId, body);
      }),

    async now() {
      const [row] = await on.rows<{ now: number }>(`SELECT ${SQL_NOW} AS now`, []);
      return row?.now ?? 0;
    },
  };
}
