/**
 * The connection of a publisher. It is opened with the first use, and loaded again after it could not be loaded. When an answer takes too
 * long the connection is given up, because nobody knows then what became of what was sent.
 */
import type { IQueueBackend } from 'bullmq';
import { HoldfastError } from '../../errors.ts';
import type { BullmqBroker, PublisherConnection } from './broker.ts';
import type { BullmqSettings } from './options.ts';

export interface OpenQueue {
  readonly root: IQueueBackend;
  readonly queue: IQueueBackend;
}

export class LazyPublisherConnection {
  readonly #broker: BullmqBroker;
  readonly #settings: BullmqSettings;
  /** By name of the queue; they belong to the backend that they were made from. */
  readonly #queues = new Map<string, OpenQueue>();
  #opening: Promise<PublisherConnection> | undefined;
  #closing: Promise<void> | undefined;

  constructor(broker: BullmqBroker, settings: BullmqSettings) {
    this.#broker = broker;
    this.#settings = settings;
    // This opens nothing, but the first message need not wait for it. A failure is told to the first that publishes.
    this.open().catch(() => {});
  }

  /** Rejects with HF_STOPPED once it is closed. */
  async open(): Promise<PublisherConnection> {
    if (this.#closing === undefined && this.#opening === undefined) {
      const attempt = this.#broker.load().then((broker) => broker.openPublisherConnection(this.#settings));
      this.#opening = attempt;
      // What could not be loaded is tried again by the next call.
      attempt.catch(() => void (this.#opening = undefined));
    }
    const connection = await this.#opening;
    if (this.#closing !== undefined || connection === undefined)
      throw new HoldfastError('HF_STOPPED', 'The publisher is closed.');
    return connection;
  }

  /** Settles as `work` does. After a failure queues are looked for anew. */
  async use<T>(work: (open: PublisherConnection) => Promise<T>): Promise<T> {
    const open = await this.open();
    try {
      return await work(open);
    } catch (error) {
      open.failed?.();
      throw error;
    }
  }

  /** The queue of this name, and the backend that reaches it. */
  async queue(name: string, signal: AbortSignal): Promise<OpenQueue> {
    const root = await (await this.open()).ready(name, signal);
    let entry = this.#queues.get(name);
    if (entry === undefined || entry.root !== root) {
      entry = { root, queue: root.forQueue(name) };
      this.#queues.set(name, entry);
    }
    return entry;
  }

  /** One exchange with the broker. When it takes too long the connection is given up: the answer is unknown either way. */
  async roundTrip<T>(work: Promise<T>): Promise<T> {
    const { publishTimeoutMs } = this.#settings;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`no answer within ${publishTimeoutMs} ms`));
        void this.#opening?.then((connection) => connection.drop());
      }, publishTimeoutMs);
    });
    // The race awaits both. The one that settles second must not be an unhandled rejection.
    work.catch(() => {});
    late.catch(() => {});
    try {
      return await Promise.race([work, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      const connection = await this.#opening?.catch(() => undefined);
      await connection?.close();
    })();
    return this.#closing;
  }
}
