/**
 * The BullMQ worker of a partition, set up for a receiver. After an error it pauses, where BullMQ's own would ask again at once.
 */
import { systemClock } from '../../runtime/clock.ts';
import { WORKER_NAME } from './queue-state.ts';
import type { ReceiverConnection } from './broker.ts';
import type { BullmqSettings } from './options.ts';
import { type QueueJob, ReceivingWorker, UNLIMITED } from './receiving-worker.ts';

export type QueueWorker = ReceivingWorker;

/** Pause after the broker refused to hand out or take back; without it BullMQ would ask again at once, for ever. */
export const REST_MS = 1000;
/** What a receiver tells its workers, and hears from them. */
export interface WorkerSetup {
  readonly connection: ReceiverConnection;
  readonly settings: BullmqSettings;
  readonly ordered: boolean;
  readonly concurrency: number;
  readonly stopping: AbortSignal;
  /** Fails, or resolves once the job is done with. */
  readonly process: (worker: QueueWorker, job: QueueJob, token: string) => Promise<void>;
  readonly onError: (error: Error) => void;
  /** The claims on these jobs could not be renewed. */
  readonly onLost: (ids: readonly string[]) => void;
  readonly onRenewed: (ids: readonly string[]) => void;
}

/** Not running yet. */
export function makeWorker(name: string, setup: WorkerSetup): QueueWorker {
  const { connection, settings, stopping, onError } = setup;
  const worker: QueueWorker = new ReceivingWorker(
    name,
    // Two parameters, not three: with a third BullMQ would make an AbortController of its own for every job.
    (job: QueueJob, token?: string) => setup.process(worker, job, token ?? ''),
    {
      connection: connection.workerConnection(name),
      factory: connection.factory,
      fetchesAhead: connection.pipelines,
      name: WORKER_NAME,
      ...(connection.prefix === undefined ? {} : { prefix: connection.prefix }),
      autorun: false,
      concurrency: setup.concurrency,
      lockDuration: settings.lockDurationMs,
      stalledInterval: settings.stalledIntervalMs,
      maxStalledCount: UNLIMITED,
      runRetryDelay: REST_MS,
      // A limit nobody reaches, but without one BullMQ does not look at the rate limit that `later` sets.
      ...(setup.ordered ? { limiter: { max: UNLIMITED, duration: 1000 } } : {}),
    },
  );
  let resting = false;
  worker.on('error', (error) => {
    if (stopping.aborted) return;
    onError(error);
    // Other fields of a job may not be JSON either, and BullMQ does not say which job it is.
    if (error instanceof SyntaxError) void connection.repairTakenJobs?.(name);
    if (resting || /Missing (lock|key)|could not renew lock/i.test(error.message)) return;
    resting = true;
    void worker
      .pause(true)
      .then(() => worker.giveBackFetched())
      .then(() => systemClock.sleep(REST_MS, stopping))
      .then(() => {
        resting = false;
        if (!stopping.aborted) return worker.resume();
        return undefined;
      })
      .catch(onError);
  });
  worker.on('lockRenewalFailed', (ids) => setup.onLost(ids));
  worker.on('locksRenewed', ({ jobIds }) => setup.onRenewed(jobIds));
  return worker;
}
