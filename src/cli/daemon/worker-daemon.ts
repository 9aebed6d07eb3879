/**
 * The worker of sagas as a part of a daemon.
 */
import { parseDuration } from '../../runtime/duration.ts';
import { systemClock } from '../../runtime/clock.ts';
import { createWorker, type WorkerOptions } from '../../saga/worker/worker.ts';
import type { DaemonKit, DaemonPart } from './daemon.ts';
import { databaseTrouble } from '../../operations/health/database-trouble.ts';
import { judgeWorkerLiveness, workerReadiness } from '../../operations/health/judgements.ts';
import { createWorkerGauges } from './worker-gauges.ts';

/** Beyond the lease, how long a worker may show no sign of life, in milliseconds. */
const SILENCE_MS = 20_000;

export function workerPart(
  options: Omit<WorkerOptions, 'database' | 'log' | 'metrics'>,
): (kit: DaemonKit) => DaemonPart {
  return ({ database, registry, metrics, log }) => {
    const worker = createWorker({ ...options, database, log, metrics });
    const patienceMs = parseDuration(options.lease ?? '15s', 'lease') + SILENCE_MS;
    const sagas = options.sagas.map(({ name, version }) => `${name}@${version}`);
    return {
      service: worker,
      async live(nowMs) {
        const verdict = judgeWorkerLiveness(worker.progress, { nowMs, patienceMs });
        // Signs of life need the database; without it a restart would not help.
        const trouble = verdict.ok ? null : await databaseTrouble(database);
        return trouble === null ? verdict : { ok: true, body: { ...verdict.body, status: 'alive', database: trouble } };
      },
      ready: () => workerReadiness(worker, sagas),
      worker,
      gauges: createWorkerGauges({ worker, registry, database, clock: systemClock, log }),
      name: 'worker',
      whenForced: 'attempts that were under way are in doubt, and their runs go on elsewhere',
    };
  };
}
