/**
 * Gauges of the sagas that are read when they are asked for: from the database, and the circuit breakers from the worker of this process.
 * The names are documented in docs/operations.md.
 */
import { Gauge, type Registry } from 'prom-client';
import { HoldfastError } from '../../errors.ts';
import type { SagaHealth } from '../../operations/sagas/saga-status.ts';
import type { Database } from '../../postgres/database.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Worker } from '../../saga/worker/worker.ts';
import { withTimeout } from '../../runtime/timeout.ts';
import { cachedGauges, defectTeller, GAUGE_TIMEOUT_MS, type Gauges } from './gauges.ts';

export interface WorkerGaugesOptions {
  /** Of this process. */
  readonly worker: Pick<Worker, 'openBreakers'>;
  readonly registry: Registry;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
}

export function createWorkerGauges({ worker, registry, database, clock, log }: WorkerGaugesOptions): Gauges {
  const tellDefect = defectTeller(log);
  const gauge = <Label extends string>(name: string, help: string, labelNames: readonly Label[]) =>
    new Gauge({ name, help, labelNames, registers: [registry] });
  const version = ['saga', 'version'] as const;
  const stuck = gauge('holdfast_saga_stuck_runs', 'Runs that need a person.', ['saga'] as const);
  const due = gauge('holdfast_saga_due_runs', 'Runs that could be taken up now; counted up to 10,000.', version);
  const oldest = gauge('holdfast_saga_oldest_due_seconds', 'For how long the oldest of them has been due.', version);
  const unrunnable = gauge(
    'holdfast_saga_unrunnable_runs',
    'Due runs whose saga and version no live worker has.',
    version,
  );
  const workers = gauge('holdfast_saga_workers', 'Workers whose lease lasts.', []);
  const breaker = gauge(
    'holdfast_saga_breaker_open_seconds',
    'For how long a circuit breaker of steps has held attempts up in this worker.',
    ['breaker'] as const,
  );
  const all = [stuck, due, oldest, unrunnable, workers];

  function show(health: SagaHealth): void {
    for (const { saga, runs } of health.stuck) stuck.set({ saga }, runs);
    for (const { saga, version: number, runs, oldestMs } of health.due) {
      const labels = { saga, version: String(number) };
      due.set(labels, runs);
      oldest.set(labels, oldestMs / 1_000);
    }
    for (const { saga, version: number, runs } of health.unrunnable)
      unrunnable.set({ saga, version: String(number) }, runs);
    workers.set(health.workers.filter(({ live }) => live).length);
  }

  return cachedGauges(clock, async () => {
    // Its own affair: known also while the database is away.
    breaker.reset();
    for (const { name, openMs } of worker.openBreakers) breaker.set({ breaker: name }, openMs / 1_000);
    // As in gauges.ts.
    const { sagaHealth } = await import('../../operations/sagas/saga-status.ts');
    const health = await withTimeout(() => sagaHealth(database), {
      timeoutMs: GAUGE_TIMEOUT_MS,
      clock,
      onTimeout: () =>
        new HoldfastError('HF_DATABASE_UNAVAILABLE', `The database did not answer within ${GAUGE_TIMEOUT_MS} ms.`),
    }).catch((error: unknown) => {
      tellDefect(error);
      return null;
    });
    // What is gone must go from the page as well, and no figure is better than one of before.
    for (const each of all) each.reset();
    if (health === null) workers.remove();
    else show(health);
  });
}
