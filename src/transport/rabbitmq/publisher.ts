/**
 * The Publisher of the RabbitMQ transport. A batch goes out in one go, over one channel, in its order; it is through when the broker has
 * confirmed each message, which it does once a majority of the queue's nodes has it on disk.
 */
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import type { OutboundMessage, Publisher, PublishOutcome } from '../port.ts';
import { settledOrAborted } from '../shared.ts';
import { PUBLISHED, unsentOutcomes } from '../unsent.ts';
import { type AddressedMessage, addressBatch, tooLargeForBroker } from './batch.ts';
import { brokerFault, brokerUnavailable } from './broker-answers.ts';
import { type Confirmation, type Outgoing, UnconfirmedError } from './confirmed-channel.ts';
import type { RabbitmqConnection } from './connection.ts';
import type { RabbitmqSettings } from './options.ts';
import { PublishedLayouts } from './published-layout.ts';
import { PublishSession } from './publish-session.ts';
import { countQueue } from './queue-maker.ts';
import { DestinationMaker } from './destination-maker.ts';

/** @param used is told of each destination that is published to */
export function rabbitmqPublisher(settings: RabbitmqSettings, used: (destination: string) => void): Publisher {
  const session = new PublishSession(settings, 'publisher');
  const batches = new BatchPublisher(session, settings);
  return {
    async publish(batch, { signal }) {
      if (batch.length === 0) return [];
      for (const { destination } of batch) used(destination);
      return guarded(signal, () => batches.publish(batch, signal));
    },
    async check({ signal }) {
      await guarded(signal, async () => {
        // To no queue: it comes back. A broker with an alarm answers everything but what is published.
        const probe: Outgoing = {
          queue: `${settings.prefix}:check`,
          content: Buffer.alloc(0),
          properties: { mandatory: true, messageId: 'check' },
        };
        await session.publish(await session.open(signal), [probe], signal);
      });
    },
    close: () => session.close(),
  };
}

/** What is left to send of a batch, and what became of the rest. */
interface Sending {
  readonly outcomes: PublishOutcome[];
  left: readonly AddressedMessage[];
  /** Queues that were gone once already. */
  readonly gone: Set<string>;
}

class BatchPublisher {
  readonly #session: PublishSession;
  readonly #settings: RabbitmqSettings;
  readonly #makings = new WeakMap<RabbitmqConnection, DestinationMaker>();
  readonly #layouts: PublishedLayouts;
  /** Of the broker, once it has said so. */
  #limit = Infinity;

  constructor(session: PublishSession, settings: RabbitmqSettings) {
    this.#session = session;
    this.#settings = settings;
    this.#layouts = new PublishedLayouts(session, settings);
  }

  async publish(batch: readonly OutboundMessage[], signal: AbortSignal): Promise<readonly PublishOutcome[]> {
    // Nothing is published until the broker has said so.
    const outcomes = unsentOutcomes(batch);
    const sending: Sending = {
      outcomes,
      left: addressBatch(batch, this.#settings, this.#limit, outcomes),
      gone: new Set(),
    };
    while (sending.left.length > 0) {
      signal.throwIfAborted();
      const connection = await this.#session.open(signal);
      await this.#makeQueues(connection, sending, signal);
      await this.#send(connection, sending, signal);
    }
    return outcomes;
  }

  async #send(connection: RabbitmqConnection, sending: Sending, signal: AbortSignal): Promise<void> {
    const { left } = sending;
    const outgoing = left.map((message) => message.outgoing);
    try {
      const confirmations = await this.#session.publish(connection, outgoing, signal);
      await this.#seeToRefused(connection, left, confirmations);
      sending.left = this.#sort(connection, sending, confirmations);
    } catch (error) {
      const fault = brokerFault(error instanceof UnconfirmedError ? error.cause : error);
      if (!(error instanceof UnconfirmedError) || fault.kind !== 'too large' || fault.limit >= this.#limit) throw error;
      // The broker has closed the channel at a message that it finds too large; those after it were not looked at.
      this.#limit = fault.limit;
      const unanswered = left.filter((_, index) => error.confirmations[index] === undefined);
      sending.left = [
        ...this.#sort(connection, sending, error.confirmations),
        ...unanswered.filter((message) => !this.#refuseLarge(message, sending.outcomes)),
      ].toSorted((a, b) => a.index - b.index);
    }
  }

  /**
   * A full queue refuses what is published, and so does one that has no leader just now, on its first message over a channel. The latter is an
   * outage, and says that it has no messages, which one that is full does not.
   */
  async #seeToRefused(
    connection: RabbitmqConnection,
    left: readonly AddressedMessage[],
    confirmations: readonly Confirmation[],
  ): Promise<void> {
    const refusing = left
      .filter((_, index) => confirmations[index] === 'refused')
      .map(({ outgoing }) => outgoing.queue);
    for (const queue of new Set(refusing)) {
      const count = await countQueue(connection, queue, this.#settings.publishTimeoutMs);
      if (count?.messages !== 0) continue;
      const error = new Error(`the queue ${queue} takes nothing just now: it has no leader`);
      // RabbitMQ's channel asks the servers that it learned of once, and goes on refusing when the queue has another leader by now.
      connection.cut(error);
      throw error;
    }
  }

  /** Notes what was confirmed, and gives back what is to be sent once more: what was for a queue that is not there. */
  #sort(
    connection: RabbitmqConnection,
    { left, outcomes, gone }: Sending,
    confirmations: readonly (Confirmation | undefined)[],
  ): readonly AddressedMessage[] {
    const again: AddressedMessage[] = [];
    const missing = new Set<string>();
    for (const [place, message] of left.entries()) {
      const { queue } = message.outgoing;
      const confirmation = confirmations[place];
      if (confirmation === undefined) continue;
      // With one that is missing, all after it in the same queue are sent again, or it would come behind them.
      if (confirmation === 'returned') missing.add(queue);
      if (missing.has(queue) && !gone.has(queue)) again.push(message);
      else outcomes[message.index] = outcomeOf(confirmation, queue);
    }
    for (const queue of missing) {
      gone.add(queue);
      this.#makings.get(connection)?.forget(queue);
    }
    return again;
  }

  #refuseLarge({ index, outgoing }: AddressedMessage, outcomes: PublishOutcome[]): boolean {
    const bytes = outgoing.content.length;
    if (bytes <= this.#limit) return false;
    outcomes[index] = { kind: 'refused', permanent: true, error: tooLargeForBroker(bytes, this.#limit) };
    return true;
  }

  /** Sees to the queues of what is to be sent; messages for one that cannot be used are refused. */
  async #makeQueues(connection: RabbitmqConnection, sending: Sending, signal: AbortSignal): Promise<void> {
    let making = this.#makings.get(connection);
    if (making === undefined) {
      making = new DestinationMaker(this.#session, connection, this.#settings);
      this.#makings.set(connection, making);
    }
    const faults = new Map<string, Error>();
    for (const destination of new Set(sending.left.map((message) => message.destination))) {
      try {
        await making.ensure(destination, signal);
        await this.#layouts.agree(connection, destination, signal);
      } catch (error) {
        if (!isHoldfastError(error, 'HF_CONFIG')) throw error;
        const { message, advice } = error;
        faults.set(destination, new HoldfastError('HF_MESSAGE_REFUSED', message, { advice, cause: error }));
      }
    }
    if (faults.size === 0) return;
    sending.left = sending.left.filter(({ index, destination }) => {
      const error = faults.get(destination);
      if (error !== undefined) sending.outcomes[index] = { kind: 'refused', permanent: false, error };
      return error === undefined;
    });
  }
}

function outcomeOf(confirmation: Confirmation, queue: string): PublishOutcome {
  if (confirmation === 'stored') return PUBLISHED;
  const [what, advice] =
    confirmation === 'refused'
      ? [
          `The queue ${queue} refuses the message: it is full, or cannot store it.`,
          'See to its consumers, or raise the limit that a policy gives it.',
        ]
      : [`There is no queue ${queue}.`, 'It was deleted while it was published to; see who does that.'];
  return { kind: 'refused', permanent: false, error: new HoldfastError('HF_MESSAGE_REFUSED', what, { advice }) };
}

/** Runs `work` until it settles or `signal` aborts, and makes every failure one of the broker's: its outcome is unknown. */
async function guarded<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    signal.throwIfAborted();
    return await settledOrAborted(work(), signal);
  } catch (error) {
    if (isHoldfastError(error, 'HF_STOPPED')) throw error;
    throw brokerUnavailable(error);
  }
}
