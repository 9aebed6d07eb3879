/**
 * Makes queues, or sees that they are there. RabbitMQ closes the channel on which it refuses to, so each is asked for on one of its own.
 */
import { HoldfastError } from '../../errors.ts';
import { brokerFault, isQueueFault, queueAdvice, saidOf } from './broker-answers.ts';
import { exchange, openChannel, type RabbitmqConnection } from './connection.ts';
import type { RabbitmqSettings } from './options.ts';
import { type DeclaredQueue, mainQueue } from './topology.ts';

/** What RabbitMQ says of a queue. */
export interface QueueCounts {
  /** Not handed out. Nought as well while the queue has no leader. */
  readonly messages: number;
  readonly consumers: number;
}

/**
 * Makes the queue, if it is not there. Rejects with HF_CONFIG and what to do when it cannot be used, and with any other error when nothing
 * is known about it.
 */
export async function ensureQueue(
  connection: RabbitmqConnection,
  settings: RabbitmqSettings,
  queue: DeclaredQueue,
): Promise<QueueCounts> {
  const { publishTimeoutMs, declare } = settings;
  const channel = await openChannel(connection, publishTimeoutMs);
  try {
    const asked = declare
      ? channel.assertQueue(queue.name, { durable: true, arguments: queue.arguments })
      : channel.checkQueue(queue.name);
    const { messageCount, consumerCount } = await exchange(connection, asked, publishTimeoutMs);
    return { messages: messageCount, consumers: consumerCount };
  } catch (error) {
    const fault = brokerFault(error);
    if (!isQueueFault(fault)) throw error;
    throw new HoldfastError('HF_CONFIG', `The queue ${queue.name} cannot be used: ${saidOf(error)}.`, {
      advice: queueAdvice(fault, queue.name),
      cause: error,
    });
  } finally {
    channel.close().catch(() => {});
  }
}

/** What is known of a queue; null when there is none. Makes nothing, and needs no right to. */
export async function countQueue(
  connection: RabbitmqConnection,
  name: string,
  withinMs: number,
): Promise<QueueCounts | null> {
  const channel = await openChannel(connection, withinMs);
  try {
    const { messageCount, consumerCount } = await exchange(connection, channel.checkQueue(name), withinMs);
    return { messages: messageCount, consumers: consumerCount };
  } catch (error) {
    if (brokerFault(error).kind === 'missing') return null;
    throw error;
  } finally {
    channel.close().catch(() => {});
  }
}

/** Each queue once, over one connection. */
export class QueueMaker {
  readonly #connection: RabbitmqConnection;
  readonly #settings: RabbitmqSettings;
  readonly #made = new Map<string, Promise<QueueCounts>>();

  constructor(connection: RabbitmqConnection, settings: RabbitmqSettings) {
    this.#connection = connection;
    this.#settings = settings;
  }

  /** As {@link ensureQueue}. */
  ensure(queue: DeclaredQueue): Promise<QueueCounts> {
    return this.#once(queue.name, () => ensureQueue(this.#connection, this.#settings, queue));
  }

  /**
   * For whoever only publishes to it: whether it has one active consumer or many is no matter then, and a difference is told to `onError`.
   */
  ensureToPublish(name: string, ordered: boolean): Promise<QueueCounts> {
    return this.#once(name, async () => {
      try {
        return await ensureQueue(this.#connection, this.#settings, mainQueue(name, ordered));
      } catch (error) {
        if (!differsInOrder(error)) throw error;
        const counts = await ensureQueue(this.#connection, this.#settings, mainQueue(name, !ordered)).catch(() => null);
        if (counts === null) throw error;
        this.#settings.onError(error as Error);
        return counts;
      }
    });
  }

  /** It has turned out not to be there. */
  forget(name: string): void {
    this.#made.delete(name);
  }

  #once(name: string, make: () => Promise<QueueCounts>): Promise<QueueCounts> {
    let made = this.#made.get(name);
    if (made === undefined) {
      made = make();
      this.#made.set(name, made);
      made.catch(() => this.forget(name));
    }
    return made;
  }
}

function differsInOrder(error: unknown): boolean {
  if (!(error instanceof HoldfastError)) return false;
  const fault = brokerFault(error.cause);
  return fault.kind === 'differs' && fault.argument === 'x-single-active-consumer';
}
