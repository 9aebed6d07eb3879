/**
 * A BullMQ worker as receivers need it. It hands out jobs whose data is not JSON, and never gives a job up because of BullMQ's count. And
 * it fetches several jobs at once: BullMQ's own asks for one, waits for the answer, and asks for the next, so that of a burst one job
 * comes in a round trip, and what might share a transaction or a commit never meets.
 */
import { type BackendFactory, type IQueueBackend, type Job, type JobJson, Worker, type WorkerOptions } from 'bullmq';
import { nextAsk } from './fetch-ahead.ts';

export type QueueJob = Job<unknown, void>;
type Process = (job: QueueJob, token?: string) => Promise<void>;
type Failure = [error: Error, job: QueueJob, token: string, fetchNext?: () => boolean];

/** Both brokers store it in 32 bits. */
export const UNLIMITED = 2_000_000_000;

export interface ReceivingWorkerOptions extends WorkerOptions {
  readonly factory: BackendFactory;
  /** Whether to ask for several jobs at once. */
  readonly fetchesAhead: boolean;
}

export class ReceivingWorker extends Worker<unknown, void, string, IQueueBackend> {
  readonly #fetchesAhead: boolean;
  /** Fetched, and not yet asked for by BullMQ's loop. */
  readonly #fetched: QueueJob[] = [];
  /** Jobs that this worker has taken and not yet finished, fetched ones among them. */
  #held = 0;
  #ask = 1;
  /** Failed jobs for which BullMQ fetches the next one by itself, outside its loop: its loop may be waiting, and not come for more. */
  #failing = 0;

  constructor(name: string, process: Process, options: ReceivingWorkerOptions) {
    const { factory, fetchesAhead, ...ofWorker } = options;
    super(name, process, ofWorker, factory);
    this.#fetchesAhead = fetchesAhead;
  }

  /** Puts what was fetched and not handed out back into the queue, as if nothing had been. Never rejects. */
  async giveBackFetched(): Promise<void> {
    const fetched = this.#fetched.splice(0);
    this.#held -= fetched.length;
    await Promise.all(fetched.map((job) => job.moveToWait(job.token).catch((error: unknown) => this.#tell(error))));
  }

  override async close(force?: boolean): Promise<void> {
    // Before, while there is a connection; what is fetched from now on goes back by itself.
    const closing = super.close(force);
    await this.giveBackFetched();
    return closing;
  }

  override async processJob(job: QueueJob, token: string, fetchNext?: () => boolean): Promise<void | QueueJob> {
    try {
      return await super.processJob(job, token, fetchNext);
    } finally {
      this.#held -= 1;
    }
  }

  /** 0: does not wait for a job to come. A job that ended last may have found the queue empty, while others lie here. */
  protected override getBlockTimeout(blockUntil: number): number {
    return this.#fetched.length > 0 ? 0 : super.getBlockTimeout(blockUntil);
  }

  protected override async moveToActive(token: string, name?: string): Promise<QueueJob> {
    const ready = this.#fetched.shift();
    if (ready !== undefined) return ready;
    const free = this.#fetchesAhead && this.#failing === 0 ? this.concurrency - this.#held : 1;
    const asked = Math.max(1, Math.min(this.#ask, free));
    const first = super.moveToActive(token, name);
    // Awaited after the others, which hold jobs also when this one fails.
    first.catch(() => {});
    const others = Array.from({ length: asked - 1 }, (_, index) => this.#fetchOne(`${token}+${index}`, name));
    const found = (await Promise.all(others)).filter((job) => job !== undefined);
    this.#fetched.push(...found);
    if (this.paused || this.closing !== undefined) await this.giveBackFetched();
    // Its failure is told to BullMQ, which tries again.
    const job = await first;
    this.#ask = nextAsk(asked, found.length + (job === undefined ? 0 : 1));
    return job;
  }

  /** Past what BullMQ does with an empty answer, which is to wait: there may be jobs among those asked for with this one. Never rejects. */
  async #fetchOne(token: string, name?: string): Promise<QueueJob | undefined> {
    try {
      const [json, id] = (await this.getBackend().moveToActive(token, name)) as [JobJson?, string?];
      return json ? await this.nextJobFromJobData(json, id, token) : undefined;
    } catch (error) {
      this.#tell(error);
      return undefined;
    }
  }

  #tell(error: unknown): void {
    this.emit('error', error instanceof Error ? error : new Error(String(error)));
  }

  protected override async handleFailed(...failure: Failure): Promise<QueueJob> {
    this.#failing += 1;
    try {
      return await super.handleFailed(...failure);
    } finally {
      this.#failing -= 1;
    }
  }

  protected override createJob(json: JobJson, jobId: string): QueueJob {
    // BullMQ would parse the data before anybody can see it: numbers that JavaScript rounds would be lost, and a job that is no JSON
    // would stay taken, come back, and be taken again without end. As text it reaches the handler, who knows what to do with either.
    const job = super.createJob({ ...json, data: 'null' }, jobId);
    job.data = wireOf(json.data);
    // Should a step of BullMQ's own go wrong (a refused write while completing, say), the job goes back to the queue at once: it is
    // Holdfast that counts attempts and parks. What the job carries is for workers that are not ours.
    job.opts.attempts = UNLIMITED;
    delete job.opts.backoff;
    this.#held += 1;
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
