/**
 * Takes one BullMQ job to its verdict: waits for a slot, hands the message to the handler, and finishes the job or puts it back.
 *
 * In an ordered partition, `later` puts the message back at the head of the queue and closes the partition for that long, by the rate
 * limit of the queue. The limit outlives this process, and no lock is held meanwhile.
 */
import { DelayedError, WaitingError, Worker } from 'bullmq';
import { systemClock } from '../../runtime/clock.ts';
import { createSemaphore, type Semaphore } from '../../runtime/semaphore.ts';
import { AbortableDelivery } from '../lazy-abort.ts';
import type { Delivery, Verdict } from '../port.ts';
import { safeVerdict } from '../safe-verdict.ts';
import type { ReceiverConnection } from './broker.ts';
import type { InFlightDeliveries, InFlightDelivery } from './in-flight.ts';
import { dueMs } from './jobs.ts';
import type { QueueJob } from './receiving-worker.ts';
import { type QueueWorker, REST_MS } from './worker.ts';

export interface JobProcessorOptions {
  readonly handle: (delivery: Delivery) => Promise<Verdict>;
  readonly ordered: boolean;
  /** Over all partitions. */
  readonly concurrency: number;
  /** See ReceiveOptions. */
  readonly ahead: (() => number) | undefined;
  readonly inFlight: InFlightDeliveries;
  readonly brokerTimeMs: ReceiverConnection['brokerTimeMs'];
  readonly stopping: AbortSignal;
  readonly onError: (error: Error) => void;
}

/** A job as a worker has taken it. */
interface TakenJob {
  readonly worker: QueueWorker;
  readonly job: QueueJob;
  readonly token: string;
}

export class JobProcessor {
  readonly #options: JobProcessorOptions;
  readonly #slots: Semaphore;

  constructor(options: JobProcessorOptions) {
    this.#options = options;
    this.#slots = createSemaphore(options.concurrency, options.ahead);
  }

  /** Resolves when the job is done with; throws what tells BullMQ that the job is no longer its to finish. */
  async process(worker: QueueWorker, job: QueueJob, token: string): Promise<void> {
    const { handle, inFlight, ordered, stopping, onError } = this.#options;
    const free = await this.#slots.acquire(stopping);
    if (free === undefined) {
      // Never handed to the handler, so it goes back as if nothing had been.
      await job.moveToWait(token);
      throw new WaitingError();
    }
    const id = `${worker.name}:${job.id}`;
    const claim = inFlight.add(id);
    try {
      const verdict = await new Promise<Verdict | 'abandon'>((resolve) => {
        claim.abandon = () => resolve('abandon');
        const { controller } = claim;
        const delivery = new AbortableDelivery(job.data, job.stalledCounter, controller);
        void safeVerdict(handle, delivery, onError).then(resolve);
      });
      // Left as it stands: the lock runs out and the message comes again, counted as handed out without a verdict.
      if (verdict === 'abandon') throw new DelayedError();
      if (verdict.kind === 'done') {
        // Should completing it fail, BullMQ puts it back; in an ordered queue that must be to the head.
        job.opts.lifo = ordered;
        return;
      }
      await this.#putBack({ worker, job, token }, verdict.delayMs, claim);
    } finally {
      inFlight.remove(id, claim);
      free();
    }
  }

  /** Applies `later`, for as long as the claim lasts. Always throws. */
  async #putBack(taken: TakenJob, delayMs: number, claim: InFlightDelivery): Promise<never> {
    const wholeMs = Math.ceil(Math.max(0, delayMs));
    while (!claim.lost) {
      try {
        const { ordered, brokerTimeMs } = this.#options;
        await (ordered ? putBackAtHead(taken, wholeMs) : putBackAnywhere(taken, wholeMs, brokerTimeMs));
      } catch (error) {
        if (!(error instanceof Error) || isSignalToBullmq(error)) throw error;
        this.#options.onError(error);
        // The lock or the job is gone: somebody else has it, or nobody needs it.
        if (/Missing (lock|key)|not in the active state/i.test(error.message)) break;
        await systemClock.sleep(REST_MS);
      }
    }
    throw new DelayedError();
  }
}

async function putBackAnywhere(
  { worker, job, token }: TakenJob,
  delayMs: number,
  brokerTimeMs: ReceiverConnection['brokerTimeMs'],
): Promise<never> {
  if (delayMs === 0) await job.moveToWait(token);
  else {
    // A broker may not say: a server where that command is forbidden.
    const brokerMs = await brokerTimeMs(worker.name, worker.getBackend()).catch(() => Infinity);
    await job.moveToDelayed(dueMs({ ownMs: Date.now(), brokerMs }, delayMs), token);
  }
  throw new DelayedError();
}

async function putBackAtHead({ worker, job, token }: TakenJob, delayMs: number): Promise<never> {
  if (delayMs === 0) {
    await job.moveToWait(token);
    throw new WaitingError();
  }
  // First closed, then put back: in between nobody can take the message, and after a crash in between it is found stalled.
  await worker.getBackend().setRateLimit(delayMs);
  // BullMQ moves the job back to the head of the line when it sees this error.
  throw Worker.RateLimitError();
}

function isSignalToBullmq(error: Error): boolean {
  return (
    error instanceof DelayedError || error instanceof WaitingError || error.message === Worker.RateLimitError().message
  );
}
