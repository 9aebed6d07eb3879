/**
 * Puts messages of an unordered destination back into the broker, to be handed out again later, by whatever process: published anew, to the
 * end of their queue or to one that holds them for a time, and acknowledged where they lay. RabbitMQ's own way back (a negative
 * acknowledgement) knows no delay, and would count as a delivery that came to nothing. In between both are there: a death then means a
 * message twice, never none.
 */
import type { ConsumeMessage } from 'amqplib';
import { timeLimit } from '../../runtime/time-limit.ts';
import type { Outgoing } from './confirmed-channel.ts';
import { headersForLater } from './delivery-facts.ts';
import type { RabbitmqSettings } from './options.ts';
import { PublishSession } from './publish-session.ts';
import { QueueMaker } from './queue-maker.ts';
import type { RabbitmqConnection } from './connection.ts';
import { delayQueue, delayStep, partitionQueue } from './topology.ts';

/** What is read of a delivery to put it back. */
export interface ReturnedMessage {
  /** Where it lay. */
  readonly queue: string;
  readonly message: ConsumeMessage;
  readonly redeliveries: number;
  readonly delayMs: number;
}

export class PutBack {
  readonly #settings: RabbitmqSettings;
  readonly #session: PublishSession;
  readonly #makers = new WeakMap<RabbitmqConnection, QueueMaker>();
  readonly #delaying = new Set<string>();
  /** Where delayed messages come back to: the partition that everybody reads. */
  readonly #home: string;

  constructor(settings: RabbitmqSettings, destination: string) {
    this.#settings = settings;
    this.#home = partitionQueue(settings.prefix, destination, 0);
    // A connection of its own: one that publishes is not read while the broker has an alarm, and acknowledgements could not end it.
    this.#session = new PublishSession(settings, `${destination} later`);
  }

  /** Names of the queues that hold messages for a time, as far as this process has used them. */
  get delaying(): ReadonlySet<string> {
    return this.#delaying;
  }

  /** Resolves once the broker has it. Rejects when that is not known. */
  async put(returned: ReturnedMessage): Promise<void> {
    const signal = timeLimit(this.#settings.publishTimeoutMs * 2);
    const connection = await this.#session.open(signal);
    const { stepMs, restMs } = delayStep(returned.delayMs);
    let { queue } = returned;
    if (returned.delayMs > 0) {
      const delaying = delayQueue(this.#home, stepMs);
      let maker = this.#makers.get(connection);
      if (maker === undefined) this.#makers.set(connection, (maker = new QueueMaker(connection, this.#settings)));
      await maker.ensure(delaying);
      queue = delaying.name;
      this.#delaying.add(queue);
    }
    const [confirmation] = await this.#session.publish(connection, [anew(returned, queue, restMs)], signal);
    if (confirmation === 'stored') return;
    this.#makers.get(connection)?.forget(queue);
    throw new Error(confirmation === 'refused' ? `the queue ${queue} is full` : `there is no queue ${queue}`);
  }

  close(): Promise<void> {
    return this.#session.close();
  }
}

/** Anything may have been written. */
function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function anew({ message, redeliveries }: ReturnedMessage, queue: string, restMs: number): Outgoing {
  // Typed as anything by the client.
  const contentType: unknown = message.properties.contentType;
  const messageId: unknown = message.properties.messageId;
  const type: unknown = message.properties.type;
  return {
    queue,
    content: message.content,
    properties: {
      persistent: true,
      mandatory: true,
      messageId: text(messageId),
      contentType: text(contentType),
      type: text(type),
      // None of those it has: the broker drops what by them has been through a queue before.
      headers: headersForLater({ redeliveries, restMs }),
    },
  };
}
