/**
 * Reads one queue over one channel: takes each delivery to its verdict, and tells the broker. It ends with its channel, or by being stopped.
 *
 * An ordered queue has one active consumer, with one message in hand. `later` keeps it in hand: what is not acknowledged holds back all behind
 * it, and when this process dies it goes to the front of the queue, before the next consumer is given anything. For the same reason an
 * ordered queue is never cancelled with a message in hand that is to come again: the channel is closed.
 */
import { setMaxListeners } from 'node:events';
import type { Channel, ConsumeMessage } from 'amqplib';
import { systemClock } from '../../runtime/clock.ts';
import type { Semaphore } from '../../runtime/semaphore.ts';
import type { Delivery, Verdict } from '../port.ts';
import type { OpenDeliveries } from '../open-deliveries.ts';
import { abortReason } from '../shared.ts';
import { ChannelAcknowledgements } from './acknowledgements.ts';
import { exchange, openChannel, type RabbitmqConnection } from './connection.ts';
import { type AmqpFacts, amqpFactsOf } from './delivery-facts.ts';
import { Handling } from './handling.ts';
import type { RabbitmqSettings } from './options.ts';
import type { PutBack } from './put-back.ts';
import { countQueue, ensureQueue } from './queue-maker.ts';
import type { DeclaredQueue } from './topology.ts';

/** How long one of an unordered queue is held that the broker would not take back, so that it does not go round and round. */
const HELD_AT_LEAST_MS = 100;

export interface QueueReaderOptions {
  readonly connection: RabbitmqConnection;
  readonly settings: RabbitmqSettings;
  readonly queue: DeclaredQueue;
  readonly ordered: boolean;
  /** Messages that the broker hands out ahead of acknowledgements. */
  readonly prefetch: number;
  readonly handle: (delivery: Delivery) => Promise<Verdict>;
  /** Over all partitions. */
  readonly slots: Semaphore;
  readonly handedOut: OpenDeliveries;
  readonly putBack: PutBack;
  /** Aborts when nothing new is to be taken. */
  readonly stopping: AbortSignal;
}

/** Nothing was heard of a queue that has messages. */
export class ForgottenConsumer extends Error {
  /** Nobody need hear of it. */
  readonly expected: boolean;

  constructor(queue: string, { expected }: { readonly expected: boolean }) {
    super(`the queue ${queue} has forgotten its consumer`);
    this.name = 'ForgottenConsumer';
    this.expected = expected;
  }
}

export class QueueReader {
  readonly #options: QueueReaderOptions;
  readonly #channel: Channel;
  readonly #acknowledgements: ChannelAcknowledgements;
  readonly #closed = new AbortController();
  /** Nothing more is to be taken: stopping, or the channel is gone. */
  readonly #ends: AbortSignal;
  readonly #handling: Handling;
  /** Messages that have not come to their end. */
  #working = 0;
  #onIdle: () => void = () => {};
  #consumerTag: string | null = null;
  /** Deliveries, and how many there were at the last look. */
  #taken = 0;
  #takenAtLook = 0;
  #wasStalled = false;
  /** A message of an ordered queue that was given back to be held on to. */
  #held: { readonly id: unknown; readonly dueMs: number; readonly redeliveries: number } | undefined;

  /** Resolves once messages come. Rejects with HF_CONFIG when the queue cannot be used. */
  static async open(options: QueueReaderOptions): Promise<QueueReader> {
    const { connection, settings, queue, prefetch, stopping } = options;
    const { publishTimeoutMs } = settings;
    await ensureQueue(connection, settings, queue);
    const channel = await openChannel(connection, publishTimeoutMs);
    const reader = new QueueReader(options, channel);
    await exchange(connection, channel.prefetch(prefetch), publishTimeoutMs);
    if (stopping.aborted) return reader;
    const consuming = channel.consume(queue.name, (message) => reader.#take(message));
    reader.#consumerTag = (await exchange(connection, consuming, publishTimeoutMs)).consumerTag;
    return reader;
  }

  private constructor(options: QueueReaderOptions, channel: Channel) {
    this.#options = options;
    this.#channel = channel;
    this.#acknowledgements = new ChannelAcknowledgements((tag, upTo) => this.#acknowledge(tag, upTo));
    const { handle, handedOut, settings } = options;
    this.#handling = new Handling({ handle, handedOut, onError: settings.onError });
    const { signal } = this.#closed;
    signal.addEventListener('abort', () => this.#handling.loseAll(abortReason(signal)), { once: true });
    this.#ends = AbortSignal.any([options.stopping, this.#closed.signal]);
    // Each delivery that waits listens to it.
    setMaxListeners(0, this.#ends);
    let failure: Error | undefined;
    channel.on('error', (error) => (failure ??= error));
    channel.on('close', () => this.#closed.abort(failure ?? new Error('the channel was closed')));
    const lost = (): void => this.#closed.abort(options.connection.lost.reason);
    if (options.connection.lost.aborted) lost();
    else options.connection.lost.addEventListener('abort', lost, { once: true });
  }

  /** Aborts with the reason when nothing comes any more over this channel; what was in hand is the broker's again. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Takes nothing new, and resolves when all that is in hand is through. What has no verdict goes back. Never rejects. */
  async stop(): Promise<void> {
    const { connection, ordered, settings } = this.#options;
    // An ordered queue would at once have another active consumer, which could be given what comes after the message in hand.
    if (!ordered) await this.#cancel();
    while (this.#working > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
    if (this.#closed.signal.aborted) return;
    this.#acknowledgements.flush();
    await exchange(connection, this.#channel.close(), settings.publishTimeoutMs).catch(() => {});
  }

  /**
   * Ends the reading when nothing comes of it, at two looks in a row: the broker has no consumer of the queue, or holds messages back from one
   * that has nothing in hand. RabbitMQ 3.10 does either, without a word, when a queue is deleted and made again at once. In an ordered queue
   * that is also how one stands that waits for another to end, which is none the worse for beginning to wait anew.
   */
  async check(): Promise<void> {
    const { connection, settings, queue, ordered } = this.#options;
    const takenBefore = this.#taken;
    const count = await countQueue(connection, queue.name, settings.publishTimeoutMs);
    const isIdle = this.#working === 0 && this.#taken === this.#takenAtLook && this.#taken === takenBefore;
    const isUnread = count === null || count.consumers === 0;
    const isStalled = isUnread || (isIdle && count.messages > 0);
    this.#takenAtLook = this.#taken;
    if (isStalled && this.#wasStalled && !this.#ends.aborted)
      this.#end(new ForgottenConsumer(queue.name, { expected: ordered && !isUnread }));
    this.#wasStalled = isStalled;
  }

  async #cancel(): Promise<void> {
    if (this.#consumerTag === null || this.#closed.signal.aborted) return;
    const { connection, settings } = this.#options;
    const tag = this.#consumerTag;
    this.#consumerTag = null;
    await exchange(connection, this.#channel.cancel(tag), settings.publishTimeoutMs).catch(() => {});
  }

  /** All that is in hand is the broker's again. */
  #end(reason: Error): void {
    this.#closed.abort(reason);
    this.#channel.close().catch(() => {});
  }

  #take(message: ConsumeMessage | null): void {
    // The broker has ended the subscription: the queue was deleted.
    if (message === null) {
      return this.#end(new Error(`the queue ${this.#options.queue.name} was deleted`));
    }
    this.#taken += 1;
    const { deliveryTag, redelivered } = message.fields;
    this.#acknowledgements.delivered(deliveryTag);
    const facts = amqpFactsOf(message.properties.headers, redelivered);
    if (facts.fence) return this.#acknowledgements.done(deliveryTag);
    this.#working += 1;
    void this.#process(message, this.#resumed(message, facts)).then(this.#through);
  }

  /** A message has come to its end. */
  readonly #through = (): void => {
    this.#working -= 1;
    if (this.#working === 0) this.#onIdle();
  };

  /** Takes a message to its end. Never rejects. */
  async #process(message: ConsumeMessage, { redeliveries, restMs }: AmqpFacts): Promise<void> {
    let delayMs = restMs;
    for (;;) {
      if (delayMs > 0 && !(await this.#delay(message, redeliveries, delayMs))) return;
      const free = await this.#slot();
      // Never handed to the handler.
      if (free === undefined) return this.#giveBack(message, redeliveries);
      const verdict = await this.#handling.verdictOn({ wire: message.content.toString(), redeliveries });
      free();
      if (verdict === 'none' || this.#closed.signal.aborted) return;
      if (verdict.kind === 'done') return this.#done(message);
      delayMs = Math.ceil(Math.max(0, verdict.delayMs));
      if (delayMs > 0) continue;
      if (await this.#leave(message, redeliveries, 0)) return;
      if (!this.#options.ordered) delayMs = HELD_AT_LEAST_MS;
    }
  }

  /** What frees it again; undefined when nothing is to be handed out any more. A promise only where there is something to wait for. */
  #slot(): (() => void) | undefined | Promise<(() => void) | undefined> {
    const { slots } = this.#options;
    if (this.#ends.aborted) return undefined;
    return slots.take() ?? slots.acquire(this.#ends);
  }

  /** Waits, or has the broker wait. False: the message is not here any more. */
  async #delay(message: ConsumeMessage, redeliveries: number, delayMs: number): Promise<boolean> {
    if (await this.#leave(message, redeliveries, delayMs)) return false;
    const { holdMostMs } = this.#options.settings;
    const id: unknown = message.properties.messageId;
    await systemClock.sleep(Math.min(delayMs, holdMostMs), this.#ends);
    if (delayMs <= holdMostMs || this.#ends.aborted) return true;
    // The broker gives up on a consumer that is silent about a message for half an hour. This one comes back at once.
    this.#held = { id, dueMs: performance.now() + delayMs - holdMostMs, redeliveries };
    this.#acknowledgements.forget(message.fields.deliveryTag);
    this.#channel.nack(message, false, true);
    return false;
  }

  /** A message that was held comes as one that was given back, which it was not. */
  #resumed(message: ConsumeMessage, facts: AmqpFacts): AmqpFacts {
    const held = this.#held;
    this.#held = undefined;
    const messageId: unknown = message.properties.messageId;
    if (held === undefined || held.id === undefined || held.id !== messageId) return facts;
    return { ...facts, redeliveries: held.redeliveries, restMs: Math.max(0, held.dueMs - performance.now()) };
  }

  /** Leaves the message to the broker for a time. False where it is to be held here: in an ordered queue, and when the broker cannot. */
  async #leave(message: ConsumeMessage, redeliveries: number, delayMs: number): Promise<boolean> {
    const { ordered, putBack, queue, settings } = this.#options;
    if (ordered) return false;
    try {
      await putBack.put({ queue: queue.name, message, redeliveries, delayMs });
    } catch (error) {
      settings.onError(error as Error);
      return false;
    }
    this.#done(message);
    return true;
  }

  async #giveBack(message: ConsumeMessage, redeliveries: number): Promise<void> {
    // In an ordered queue it goes back with the channel, which is closed then.
    if (this.#closed.signal.aborted || this.#options.ordered) return;
    if (await this.#leave(message, redeliveries, 0)) return;
    if (this.#closed.signal.aborted) return;
    this.#acknowledgements.forget(message.fields.deliveryTag);
    this.#channel.nack(message, false, true);
  }

  #done(message: ConsumeMessage): void {
    if (this.#closed.signal.aborted) return;
    const { ordered, stopping } = this.#options;
    // Before the acknowledgement, or it would be answered with the next message.
    if (ordered && stopping.aborted) void this.#cancel();
    this.#acknowledgements.done(message.fields.deliveryTag);
    if (ordered) this.#acknowledgements.flush();
  }

  #acknowledge(tag: number, upTo: boolean): void {
    if (this.#closed.signal.aborted) return;
    try {
      this.#channel.ack({ fields: { deliveryTag: tag } } as ConsumeMessage, upTo);
    } catch {
      // It is closing, and the message comes again.
    }
  }
}
