/**
 * The BullMQ worker of a partition. It differs from BullMQ's own in three ways: it hands out jobs whose data is not JSON, it never gives a job
 * up because of BullMQ's count, and after an error it pauses instead of asking again at once.
 */
import { type IQueueBackend, type Job, type JobJson, Worker } from 'bullmq';
import { systemClock } from '../../runtime/clock.ts';
import { WORKER_NAME } from './queue-state.ts';
import type { ReceiverConnection } from './broker.ts';
import type { BullmqSettings } from './options.ts';

export type QueueWorker = Worker<unknown, void, string, IQueueBackend>;
export type QueueJob = Job<unknown, void>;

/** Pause after the broker refused to hand out or take back; without it BullMQ would ask again at once, for ever. */
export const REST_MS = 1000;
/** Both brokers store it in 32 bits. */
const UNLIMITED = 2_000_000_000;

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
      connection: connection.workerConnection,
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
    connection.factory,
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

class ReceivingWorker extends Worker<unknown, void, string, IQueueBackend> {
  protected override createJob(json: JobJson, jobId: string): QueueJob {
    // BullMQ would parse the data before anybody can see it: numbers that JavaScript rounds would be lost, and a job that is no JSON
    // would stay taken, come back, and be taken again without end. As text it reaches the handler, who knows what to do with either.
    const job = super.createJob({ ...json, data: 'null' }, jobId);
    job.data = wireOf(json.data);
    // Should a step of BullMQ's own go wrong (a refused write while completing, say), the job goes back to the queue at once: it is
    // Holdfast that counts attempts and parks. What the job carries is for workers that are not ours.
    job.opts.attempts = UNLIMITED;
    delete job.opts.backoff;
    return job;
  }
}

/** The envelope as it was published: the data itself, or, where the broker would alter it, the text that the data holds. */
function wireOf(data: string | undefined): string {
  if (data?.startsWith('"') !== true) return data ?? 'null';
  try {
    return JSON.parse(data) as string;
  } catch {
    return data;
  }
}
