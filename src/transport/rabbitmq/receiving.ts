/**
 * What a receiver of the RabbitMQ transport does from start to stop: one connection, made anew when it is lost, and on it a reader for each
 * partition, made anew when its channel is.
 */
import { setMaxListeners } from 'node:events';
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import { systemClock } from '../../runtime/clock.ts';
import { createSemaphore, type Semaphore } from '../../runtime/semaphore.ts';
import type { Delivery, QueueState, ReceiveOptions, Verdict } from '../port.ts';
import { drainedOrForced, OpenDeliveries } from '../open-deliveries.ts';
import { settledOrAborted, untilStopped } from '../shared.ts';
import { brokerFault, saidOf, brokerUnavailable } from './broker-answers.ts';
import { connectToAny, type RabbitmqConnection } from './connection.ts';
import type { RabbitmqSettings } from './options.ts';
import { ForgottenConsumer, QueueReader } from './queue-reader.ts';
import { hasRegister, type PartitionNumbers, readRegister } from './partition-register.ts';
import { PutBack } from './put-back.ts';
import { ensureQueue } from './queue-maker.ts';
import { assessRabbitmqQueue, readRabbitmqQueue } from './queue-state.ts';
import { mainQueue, partitionQueue } from './topology.ts';

/** Before something that failed is tried again. Longer with each time, up to the second. */
const REST_MS = 100;
const REST_CAP_MS = 1_000;
/** After queues were made that were not there. */
const NEW_REST_MS = 250;
/** When nothing is in hand any more, a broker that does not let us go in order within this is left at once. */
const IDLE_CLOSE_MS = 2_000;
/** The most that AMQP can have handed out ahead. */
const MOST_PREFETCH = 65_535;

export interface QueueReceivingOptions {
  readonly settings: RabbitmqSettings;
  readonly destination: string;
  readonly handle: (delivery: Delivery) => Promise<Verdict>;
  readonly options: ReceiveOptions;
}

export class QueueReceiving {
  readonly #options: QueueReceivingOptions;
  readonly #stopping = new AbortController();
  /** Aborts when a stop is to wait no longer. */
  readonly #hard = new AbortController();
  /** What handlers have. */
  readonly #handedOut = new OpenDeliveries();
  readonly #slots: Semaphore;
  readonly #putBack: PutBack;
  readonly #prefetch: number;
  readonly #running: Promise<void>;
  #connection: RabbitmqConnection | undefined;
  #readers = new Set<QueueReader>();
  /** Why nothing is read just now, by name of the queue; under '' for all. */
  readonly #troubles = new Map<string, Error>([['', new Error('no answer yet')]]);
  #stopped: Promise<void> | undefined;
  /** How many partitions are read. */
  #widest = 1;
  /** The number of partitions that somebody else goes by, and that was said. */
  #toldPartitions: number | null = null;

  constructor(options: QueueReceivingOptions) {
    const { settings, destination } = options;
    const { concurrency, ordered, ahead } = options.options;
    const { partitions } = settings.layoutOf(destination);
    // Each delivery that waits for a slot hears of the stop.
    setMaxListeners(0, this.#stopping.signal);
    this.#options = options;
    this.#slots = createSemaphore(concurrency, ahead);
    this.#putBack = new PutBack(settings, destination);
    // Messages that wait in the consumer may be as many as it handles at once.
    const more = ahead === undefined ? 0 : Math.max(concurrency, ahead());
    const wanted = Math.ceil((concurrency + more) / partitions);
    this.#prefetch = ordered ? 1 : Math.min(wanted, MOST_PREFETCH);
    this.#running = this.#run();
  }

  /** See Receiver. */
  async look(signal: AbortSignal): Promise<QueueState> {
    const [trouble] = this.#troubles.values();
    const connection = this.#connection;
    try {
      if (trouble !== undefined || connection === undefined) throw trouble ?? new Error('no answer yet');
      const active = this.#handedOut.size;
      const { settings, destination } = this.#options;
      const { delaying } = this.#putBack;
      const reading = readRabbitmqQueue({
        connection,
        settings,
        destination,
        partitions: this.#widest,
        delaying,
        active,
      });
      const state = await settledOrAborted(reading, signal);
      return state ?? assessRabbitmqQueue(destination, { waiting: 0, delayed: 0, consumers: 0, active });
    } catch (error) {
      throw cannotHandOut(error);
    }
  }

  stop(signal: AbortSignal | undefined): Promise<void> {
    this.#stopped ??= this.#end();
    // Every caller may lose patience: a second stop can make the first one hard.
    return untilStopped(this.#stopped, signal, this.#hard);
  }

  async #run(): Promise<void> {
    const { settings, destination } = this.#options;
    const stopping = this.#stopping.signal;
    for (let failures = 0; !stopping.aborted; failures += 1) {
      try {
        const connection = await connectToAny(settings, `consumer of ${destination}`, stopping);
        this.#connection = connection;
        this.#troubles.clear();
        failures = 0;
        await this.#readAll(connection);
        if (stopping.aborted) return;
        this.#fail('', brokerUnavailable(connection.lost.reason, 'has lost a consumer'));
      } catch (error) {
        if (stopping.aborted) return;
        this.#fail('', error as Error);
      }
      await systemClock.sleep(restMs(failures), stopping);
    }
  }

  /** Until the connection is lost, or the receiver stops. */
  async #readAll(connection: RabbitmqConnection): Promise<void> {
    const { settings, destination } = this.#options;
    const { partitions } = settings.layoutOf(destination);
    const ends = AbortSignal.any([connection.lost, this.#stopping.signal]);
    setMaxListeners(0, ends, connection.lost);
    const reading: Promise<void>[] = [];
    const tried: Promise<void>[] = [];
    const readUpTo = (count: number): void => {
      while (reading.length < count) {
        const partition = reading.length;
        tried.push(new Promise((resolve) => reading.push(this.#read(connection, partition, ends, resolve))));
      }
    };
    await this.#makeNew(connection, ends);
    readUpTo(partitions);
    this.#widest = partitions;
    // What is written down says that the queues are there.
    await Promise.all(tried);
    let numbers: PartitionNumbers = { partitions, widest: partitions };
    while (!ends.aborted) {
      // Other processes may have been told of more partitions: what lies there must not stay unread.
      try {
        if (settings.declare) numbers = await readRegister({ connection, settings, destination }, numbers);
        if (numbers.partitions !== partitions) this.#tellNumbers(numbers.partitions);
        this.#widest = Math.max(partitions, numbers.partitions, numbers.widest);
        readUpTo(this.#widest);
        await Promise.all([...this.#readers].map((reader) => reader.check()));
      } catch (error) {
        if (!ends.aborted) settings.onError(error as Error);
      }
      await systemClock.sleep(settings.lookAfterMs, ends);
    }
    await Promise.all(reading);
  }

  /** Makes queues that are new, and lets them come up: consuming one that somebody is just making ends the connection. Never rejects. */
  async #makeNew(connection: RabbitmqConnection, ends: AbortSignal): Promise<void> {
    const { settings, destination } = this.#options;
    const { partitions, ordered } = settings.layoutOf(destination);
    try {
      if (!settings.declare || (await hasRegister({ connection, settings, destination }))) return;
      for (let partition = 0; partition < partitions; partition += 1)
        await ensureQueue(
          connection,
          settings,
          mainQueue(partitionQueue(settings.prefix, destination, partition), ordered),
        );
      await systemClock.sleep(NEW_REST_MS, ends);
    } catch {
      // Whoever reads it says what is wrong.
    }
  }

  #tellNumbers(other: number): void {
    const { settings, destination } = this.#options;
    const { partitions } = settings.layoutOf(destination);
    if (this.#toldPartitions === other) return;
    this.#toldPartitions = other;
    settings.onError(
      new HoldfastError(
        'HF_CONFIG',
        `${destination} has ${other} partitions, but this receiver was told ${partitions}; it reads all there are.`,
        { advice: 'Give publishers and consumers of a destination the same queues.', details: { destination } },
      ),
    );
  }

  /** Keeps a reader on one partition. Never rejects. */
  async #read(connection: RabbitmqConnection, partition: number, ends: AbortSignal, tried: () => void): Promise<void> {
    const { settings, destination, handle } = this.#options;
    const name = partitionQueue(settings.prefix, destination, partition);
    const { ordered } = this.#options.options;
    for (let failures = 0; !ends.aborted; failures += 1) {
      try {
        const reader = await QueueReader.open({
          connection,
          settings,
          queue: mainQueue(name, settings.layoutOf(destination).ordered),
          ordered,
          prefetch: this.#prefetch,
          handle,
          slots: this.#slots,
          handedOut: this.#handedOut,
          putBack: this.#putBack,
          stopping: this.#stopping.signal,
        });
        this.#readers.add(reader);
        this.#troubles.delete(name);
        failures = 0;
        tried();
        await systemClock.sleep(Infinity, AbortSignal.any([ends, reader.closed]));
        if (this.#stopping.signal.aborted) await reader.stop();
        this.#readers.delete(reader);
        const reason: unknown = reader.closed.reason;
        if (!ends.aborted && !(reason instanceof ForgottenConsumer && reason.expected))
          this.#fail(name, closedError(name, reason));
      } catch (error) {
        if (!ends.aborted) this.#fail(name, error as Error);
      }
      tried();
      await systemClock.sleep(restMs(failures), ends);
    }
    tried();
  }

  #fail(where: string, error: Error): void {
    this.#troubles.set(where, error);
    this.#options.settings.onError(error);
  }

  async #end(): Promise<void> {
    this.#stopping.abort();
    this.#handedOut.drain();
    const closed = new AbortController();
    const forcing = this.#force(closed.signal);
    await this.#running;
    await this.#putBack.close();
    await this.#connection?.close();
    closed.abort();
    await forcing;
  }

  /** Takes away, step by step, what a stop waits for: handlers when it is hard, then a broker that is away. */
  async #force(closed: AbortSignal): Promise<void> {
    await drainedOrForced(this.#handedOut, this.#hard.signal, closed);
    await systemClock.sleep(IDLE_CLOSE_MS, closed);
    if (!closed.aborted) this.#connection?.cut(new Error('the receiver is stopped'));
  }
}

function restMs(failures: number): number {
  return Math.min(REST_CAP_MS, REST_MS * 2 ** Math.min(failures, 10));
}

function closedError(queue: string, reason: unknown): HoldfastError {
  const unanswered = brokerFault(reason).kind === 'unanswered';
  return new HoldfastError(
    'HF_TRANSPORT_UNAVAILABLE',
    `The broker (rabbitmq) has closed the reading of ${queue}: ${saidOf(reason)}.`,
    {
      advice: unanswered
        ? 'A handler took longer than consumer_timeout in rabbitmq.conf (30 minutes by default): give it a timeout, or raise that.'
        : 'It is opened again. If this goes on, see the log of RabbitMQ.',
      cause: reason,
    },
  );
}

function cannotHandOut(cause: unknown): HoldfastError {
  if (isHoldfastError(cause, 'HF_TRANSPORT_UNAVAILABLE')) return cause;
  const advice =
    cause instanceof HoldfastError ? cause.advice : 'Check that it runs, and address, password and rights of the user.';
  const why = (cause instanceof HoldfastError ? cause.message : saidOf(cause)).replace(/\.$/, '');
  return new HoldfastError('HF_TRANSPORT_UNAVAILABLE', `The broker (rabbitmq) does not hand out: ${why}.`, {
    advice,
    cause,
  });
}
