/**
 * The BullMQ workers of a receiver: one for each partition of its destination, and one for each further partition that may hold messages,
 * because another process was configured with a different number.
 */
import { HoldfastError } from '../../errors.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { ReceiverConnection } from './broker.ts';
import type { InFlightDeliveries } from './in-flight.ts';
import type { BullmqSettings } from './options.ts';
import { ORDER_MARK, partitionsBeyond } from './partition-layout.ts';
import type { QueueJob } from './receiving-worker.ts';
import { makeWorker, type QueueWorker, REST_MS } from './worker.ts';

export interface PartitionWorkersOptions {
  readonly connection: ReceiverConnection;
  readonly settings: BullmqSettings;
  readonly destination: string;
  readonly ordered: boolean;
  /** Over all partitions. */
  readonly concurrency: number;
  /** See ReceiveOptions. */
  readonly ahead: (() => number) | undefined;
  readonly inFlight: InFlightDeliveries;
  readonly stopping: AbortSignal;
  readonly process: (worker: QueueWorker, job: QueueJob, token: string) => Promise<void>;
}

export class PartitionWorkers {
  readonly #options: PartitionWorkersOptions;
  /** As this receiver was told. */
  readonly partitions: number;
  readonly #workers = new Set<QueueWorker>();
  readonly #opened = new Set<number>();
  readonly #opening: Promise<void>[] = [];
  /** The number of partitions that somebody else goes by, and that was said. */
  #reportedPartitions: number | null = null;
  #failure: { readonly error: Error; readonly atMs: number } | undefined;

  constructor(options: PartitionWorkersOptions) {
    this.#options = options;
    this.partitions = options.settings.partitionsOf(options.destination);
    for (let partition = 0; partition < this.partitions; partition += 1) this.#openOnce(partition);
  }

  /** The worker of the first partition, whose queue has what is said of the whole destination; undefined while there is none. */
  get first(): QueueWorker | undefined {
    return [...this.#workers].find(({ name }) => name === this.#firstName);
  }

  get #firstName(): string {
    return this.#options.settings.naming.queueName(this.#options.destination, 0);
  }

  /** The last failure of a worker: the broker may answer and still refuse to hand out. `atMs`: monotonic. */
  get lastFailure(): { readonly error: Error; readonly atMs: number } | undefined {
    return this.#failure;
  }

  /** A broker that was emptied has forgotten how its queues are to be read. Never rejects. */
  restoreQueues(): void {
    const { ordered, settings } = this.#options;
    for (const worker of this.#workers) {
      if (ordered) void this.#applyOrder(worker).catch(settings.onError);
      if (worker.name === this.#firstName) void this.#readBeyond(worker).catch(settings.onError);
    }
  }

  /** Resolves when every worker has given back what it had. */
  async close(): Promise<void> {
    await Promise.all([...this.#workers].map((worker) => worker.close().catch(this.#options.settings.onError)));
    await Promise.all(this.#opening);
  }

  #openOnce(partition: number): void {
    if (this.#opened.has(partition)) return;
    this.#opened.add(partition);
    this.#opening.push(this.#open(partition));
  }

  /** Until it is open, or the receiver stops. */
  async #open(partition: number): Promise<void> {
    const { connection, destination, settings, stopping } = this.#options;
    const name = settings.naming.queueName(destination, partition);
    while (!stopping.aborted) {
      let worker: QueueWorker | undefined;
      try {
        await connection.ready();
        if (stopping.aborted) return;
        worker = this.#make(name);
        this.#workers.add(worker);
        await worker.waitUntilReady();
        await this.#applyOrder(worker);
        if (partition === 0) await this.#readBeyond(worker);
        void connection.inspectQueue?.(name);
        if (!stopping.aborted) worker.run().catch(settings.onError);
        return;
      } catch (error) {
        if (stopping.aborted) return;
        this.#fail(error instanceof Error ? error : new Error(String(error)));
        // BullMQ remembers a failed start for ever, so the next try needs a new worker.
        if (worker !== undefined) {
          this.#workers.delete(worker);
          await worker.close(true).catch(settings.onError);
        }
        await systemClock.sleep(REST_MS, stopping);
      }
    }
  }

  #make(name: string): QueueWorker {
    const { connection, settings, ordered, inFlight, stopping, process } = this.#options;
    return makeWorker(name, {
      connection,
      settings,
      ordered,
      concurrency: this.#atOnce(),
      stopping,
      process: async (worker, job, token) => {
        try {
          await process(worker, job, token);
        } finally {
          // BullMQ looks at it when it asks for more.
          const atOnce = this.#atOnce();
          if (worker.concurrency !== atOnce) worker.concurrency = atOnce;
        }
      },
      onError: (error) => this.#fail(error),
      onLost: (ids) => inFlight.lose(name, ids),
      onRenewed: (ids) => inFlight.renew(name, ids),
    });
  }

  /** Of one worker. Rounded up: the slots bound the whole, so that a busy partition may use what an idle one does not. */
  #atOnce(): number {
    const { ordered, concurrency, ahead } = this.#options;
    return ordered ? 1 : Math.ceil((concurrency + (ahead?.() ?? 0)) / this.partitions);
  }

  #fail(failure: Error): void {
    const error = this.#options.connection.explain?.(failure) ?? failure;
    this.#failure = { error, atMs: performance.now() };
    this.#options.settings.onError(error);
  }

  async #applyOrder(worker: QueueWorker): Promise<void> {
    const backend = worker.getBackend();
    if (this.#options.ordered) await backend.setQueueMeta({ concurrency: 1, [ORDER_MARK]: 1 });
    else if ((await backend.getQueueMetaField(ORDER_MARK)) !== null)
      await backend.removeQueueMetaFields(['concurrency', ORDER_MARK]);
  }

  /** Other processes may have been told of other partitions than this one: what lies in them must not stay unread. */
  async #readBeyond(first: QueueWorker): Promise<void> {
    const { connection, destination, settings, stopping } = this.#options;
    const access = connection.access(first.getBackend());
    const { layout, beyond } = await partitionsBeyond(access, destination, this.partitions);
    const other = layout.partitions !== null && layout.partitions !== this.partitions ? layout.partitions : null;
    if (other !== null && other !== this.#reportedPartitions)
      settings.onError(
        new HoldfastError(
          'HF_CONFIG',
          `${destination} has ${other} partitions, but this receiver was told ${this.partitions}; it reads all that hold messages.`,
          { advice: 'Give publishers and consumers of a destination the same queues.', details: { destination } },
        ),
      );
    this.#reportedPartitions = other;
    for (const partition of beyond) if (!stopping.aborted) this.#openOnce(partition);
  }
}
