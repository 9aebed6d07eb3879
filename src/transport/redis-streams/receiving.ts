/**
 * What a receiver does from start to stop: a reader for each partition, and beside them what concerns all of them. It tells Redis that it
 * lives, learns of further partitions and of other receivers, looks after claims, and brings a stop to its end.
 */
import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { systemClock } from '../../runtime/clock.ts';
import { timeLimit } from '../../runtime/time-limit.ts';
import { Drain, drainedOrForced, type Stoppable } from '../open-deliveries.ts';
import { settledOrAborted, untilStopped } from '../shared.ts';
import type { Delivery, QueueState, ReceiveOptions, Verdict } from '../port.ts';
import { brokerFailure } from './answers.ts';
import type { StreamsConnection } from './connection.ts';
import { CONSUMER, destinationKeys, indexKey, partitionKeys } from './keys.ts';
import type { StreamsSettings } from './options.ts';
import { PartitionReader } from './partition-reader.ts';
import { PartitionStore } from './partition-store.ts';
import { readStreamState } from './queue-state.ts';
import { BEAT } from './receive-scripts.ts';
import { Slots } from './slots.ts';

/** How often a receiver says that it lives, if `stalledInterval` is not shorter. */
const BEAT_MS = 5000;
/** What is left to tell Redis when nothing is in flight takes a moment, unless Redis is away. */
const IDLE_CLOSE_MS = 2000;
/** A failure is why nothing is handed out, if it was no longer ago than this. */
const RECENT_MS = 2000;

export interface StreamsReceivingOptions {
  /** Ended by the stop. */
  readonly connection: StreamsConnection;
  readonly settings: StreamsSettings;
  readonly destination: string;
  readonly handle: (delivery: Delivery) => Promise<Verdict>;
  readonly options: ReceiveOptions;
}

export class StreamsReceiving {
  readonly #options: StreamsReceivingOptions;
  readonly #consumer = `${CONSUMER}${randomUUID()}`;
  readonly #slots: Slots;
  readonly #readers = new Map<number, PartitionReader>();
  readonly #running: Promise<void>[] = [];
  readonly #stopping = new AbortController();
  readonly #hard = new AbortController();
  readonly #givingUp = new AbortController();
  readonly #drain = new Drain(() => [...this.#readers.values()].every(({ inFlight }) => inFlight === 0));
  readonly #timers: readonly NodeJS.Timeout[];
  /** How many ordered partitions are this receiver's share. */
  #share = Infinity;
  #reportedPartitions = 0;
  #failure: { readonly error: Error; readonly atMs: number } | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: StreamsReceivingOptions) {
    const { settings, destination } = options;
    const { concurrency, ahead } = options.options;
    this.#options = options;
    this.#slots = new Slots(concurrency, ahead);
    // Each partition hears of these, and each of their commands of the last.
    for (const { signal } of [this.#stopping, this.#givingUp]) setMaxListeners(0, signal);
    for (let partition = 0; partition < settings.partitionsOf(destination); partition += 1) this.#open(partition);
    const beatMs = Math.min(settings.stalledIntervalMs, BEAT_MS);
    this.#timers = [
      setInterval(() => this.#lookAfter(), settings.lockDurationMs / 4),
      setInterval(() => this.#lookForDead(), settings.stalledIntervalMs),
      setInterval(() => void this.#beat(), beatMs),
    ];
    void this.#beat();
  }

  async look(signal: AbortSignal): Promise<QueueState> {
    const { connection, settings, destination, options } = this.#options;
    try {
      const state = await readStreamState({
        connection,
        prefix: settings.prefix,
        destination,
        partitions: settings.partitionsOf(destination),
        owner: options.owner ?? null,
        signal,
      });
      if (this.#failure !== undefined && performance.now() - this.#failure.atMs < RECENT_MS) throw this.#failure.error;
      return state;
    } catch (error) {
      const silent = signal.aborted && error === signal.reason;
      const why = silent ? (this.#failure?.error ?? new Error('no answer yet')) : error;
      throw brokerFailure(
        why,
        'does not hand out',
        'Check that it runs, and address, password and rights of the user.',
      );
    }
  }

  stop(signal: AbortSignal | undefined): Promise<void> {
    this.#stopped ??= this.#end();
    // Every caller may lose patience: a second stop can make the first one hard.
    return untilStopped(this.#stopped, signal, this.#hard);
  }

  #open(partition: number): void {
    if (this.#readers.has(partition) || this.#stopping.signal.aborted) return;
    const { connection, settings, destination, handle, options } = this.#options;
    const { ordered } = options;
    const keys = partitionKeys(settings.prefix, destination, partition);
    const givingUp = this.#givingUp.signal;
    const lockMs = ordered ? settings.lockDurationMs : 0;
    const reader = new PartitionReader({
      store: new PartitionStore({ connection, keys, consumer: this.#consumer, lockMs, givingUp }),
      bell: connection.bell(keys.stream),
      ordered,
      lockDurationMs: settings.lockDurationMs,
      slots: this.#slots,
      handle,
      mayOwn: () => this.#owned().length < this.#share,
      stopping: this.#stopping.signal,
      givingUp,
      onError: (error) => this.#fail(error),
      onEnd: () => this.#drain.check(),
    });
    this.#readers.set(partition, reader);
    this.#running.push(reader.run());
  }

  #owned(): readonly PartitionReader[] {
    return [...this.#readers.values()].filter(({ owns }) => owns);
  }

  #fail(error: Error): void {
    this.#failure = { error, atMs: performance.now() };
    if (!this.#stopping.signal.aborted) this.#options.settings.onError(error);
  }

  #lookAfter(): void {
    const nowMs = performance.now();
    for (const reader of this.#readers.values()) reader.lookAfter(nowMs);
  }

  #lookForDead(): void {
    for (const reader of this.#readers.values()) reader.lookForDead();
  }

  /** Never rejects. */
  async #beat(): Promise<void> {
    const { connection, settings, destination, options } = this.#options;
    const { meta, readers } = destinationKeys(settings.prefix, destination);
    const goneMs = Math.max(settings.lockDurationMs, 3 * Math.min(settings.stalledIntervalMs, BEAT_MS));
    const args = [this.#consumer, goneMs, options.ordered ? '1' : '0', options.owner ?? ''];
    const signal = this.#stopping.signal;
    try {
      const answer = await connection.run(BEAT, [meta, readers], args, signal);
      const [partitions, widest, living] = answer as readonly [number, number, number];
      await connection.ask((client) => client.sadd(indexKey(settings.prefix), destination), signal);
      await this.#readBeyond(partitions, widest);
      if (options.ordered) this.#shareOut(living);
    } catch (error) {
      if (!signal.aborted)
        this.#fail(brokerFailure(error, 'does not hand out', 'Check that it runs, and its address.'));
    }
  }

  /** Other processes may have been told of other partitions than this one: what lies in them must not stay unread. */
  async #readBeyond(partitions: number, widest: number): Promise<void> {
    const { connection, settings, destination } = this.#options;
    const own = settings.partitionsOf(destination);
    if (partitions !== own && partitions > 0 && partitions !== this.#reportedPartitions)
      this.#options.settings.onError(
        new Error(
          `${destination} has ${partitions} partitions, and this receiver was told ${own}: it reads all that hold messages`,
        ),
      );
    this.#reportedPartitions = partitions;
    for (let partition = own; partition < widest; partition += 1) {
      const { stream } = partitionKeys(settings.prefix, destination, partition);
      if (this.#readers.has(partition)) continue;
      // oxlint-disable-next-line no-await-in-loop -- few, and seldom
      const length =
        partition < partitions ? 1 : await connection.ask((client) => client.xlen(stream), this.#stopping.signal);
      if (length > 0) this.#open(partition);
    }
  }

  /** Receivers that keep order own about as many partitions each. */
  #shareOut(living: number): void {
    this.#share = Math.ceil(this.#readers.size / Math.max(1, living));
    for (const reader of this.#owned().slice(this.#share)) reader.yieldOwnership();
  }

  async #end(): Promise<void> {
    this.#stopping.abort(new Error('the receiver is stopped'));
    const closed = new AbortController();
    const forcing = this.#force(closed.signal);
    await Promise.all(this.#running);
    closed.abort();
    await forcing;
    for (const timer of this.#timers) clearInterval(timer);
    await this.#sayGone();
    this.#options.connection.end();
  }

  /** Takes away from the readers, step by step, what they wait for: handlers at a hard stop, then a Redis that is away. */
  async #force(closed: AbortSignal): Promise<void> {
    this.#drain.begin();
    await drainedOrForced(this.#stoppable(), this.#hard.signal, closed);
    await systemClock.sleep(IDLE_CLOSE_MS, closed);
    this.#givingUp.abort(new Error('the receiver is stopped'));
  }

  #stoppable(): Stoppable {
    const readers = this.#readers;
    return {
      drained: this.#drain.drained,
      abortAll: (why) => readers.forEach((reader) => reader.abortAll(why)),
      abandonAll: () => readers.forEach((reader) => reader.abandonAll()),
    };
  }

  /** So that others need not wait to take its share. Never rejects. */
  async #sayGone(): Promise<void> {
    const { connection, settings, destination } = this.#options;
    const { readers } = destinationKeys(settings.prefix, destination);
    const inTime = timeLimit(IDLE_CLOSE_MS);
    const gone = connection.ask((client) => client.zrem(readers, this.#consumer), inTime);
    await settledOrAborted(gone, inTime).catch(() => {});
  }
}
