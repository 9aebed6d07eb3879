/** A worker whose commits and claims a test holds up, on a clock of its choice. */
import type { TransactionHandle } from '../../src/postgres/executor.ts';
import { DEFAULT_MAX_BYTES } from '../../src/outbox/prepare.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { noCrash } from '../../src/runtime/crash-point.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { noopMetrics } from '../../src/runtime/metrics.ts';
import { createRegistry, type AnySaga } from '../../src/saga/definition/definition.ts';
import { DEFAULT_JOURNAL_LIMITS } from '../../src/saga/journal/growth.ts';
import { DEFAULT_REPLY_TOPIC } from '../../src/saga/protocol/wire.ts';
import { createPostgresClientStore } from '../../src/saga/store/postgres/postgres-client-store.ts';
import { createPostgresWorkerStore } from '../../src/saga/store/postgres/postgres-worker-store.ts';
import type { RunCommit, WorkerStore } from '../../src/saga/store/store.ts';
import { createWorkerCore, type WorkerOn } from '../../src/saga/worker/worker-core.ts';
import type { Lab } from './lab.ts';

/** Longer than any test. */
export const LEASE_MS = 3_600_000;

/** A worker on the database of the lab. */
export async function workerOver(
  lab: Lab,
  sagas: readonly AnySaga[],
  commit: (runs: readonly RunCommit[], go: () => Promise<void>) => Promise<void>,
  claim: (go: WorkerStore['claim']) => WorkerStore['claim'] = (go) => go,
  clock = systemClock,
): Promise<{ readonly worker: WorkerOn<TransactionHandle>; readonly stop: () => Promise<void> }> {
  const inner = createPostgresWorkerStore({ database: lab.database });
  const store: WorkerStore = {
    ...inner,
    commit: (workerId, runs) => commit(runs, () => inner.commit(workerId, runs)),
    claim: claim((workerId, wanted) => inner.claim(workerId, wanted)),
  };
  const worker = createWorkerCore<TransactionHandle>({
    store,
    clientStore: createPostgresClientStore({ database: lab.database }),
    registry: createRegistry(sagas, 'test'),
    name: 'test',
    leaseMs: LEASE_MS,
    concurrency: 100,
    mostWaiting: 0,
    settings: { maxBytes: DEFAULT_MAX_BYTES, replyTo: DEFAULT_REPLY_TOPIC, ...DEFAULT_JOURNAL_LIMITS },
    clock,
    random: () => 0,
    log: silentLogger,
    metrics: noopMetrics,
    crashPoint: noCrash,
    idlePollMs: 20,
    setAsleep: async () => false,
  });
  await worker.start();
  return {
    worker,
    async stop() {
      await worker.stop({ signal: AbortSignal.timeout(5_000) });
      await inner.close();
    },
  };
}
