/**
 * Makes the queues of the destinations that a publisher sends to, and waits until new ones take messages.
 */
import { systemClock } from '../../runtime/clock.ts';
import type { RabbitmqConnection } from './connection.ts';
import { fenceFor } from './fence.ts';
import type { RabbitmqSettings } from './options.ts';
import { hasRegister } from './partition-register.ts';
import type { PublishSession } from './publish-session.ts';
import { QueueMaker } from './queue-maker.ts';
import { partitionQueue } from './topology.ts';

/** Queues that are asked for at once. */
const QUEUES_AT_ONCE = 16;
/** A new queue is ready within this, or whoever publishes is told by each message. */
const READY_TRIES = 40;
const READY_REST_MS = 25;

/** Each destination once, over one connection. */
export class DestinationMaker {
  readonly #session: PublishSession;
  readonly #connection: RabbitmqConnection;
  readonly #settings: RabbitmqSettings;
  readonly #queues: QueueMaker;
  readonly #made = new Map<string, Promise<void>>();
  /** Queues that were gone: they are new when they are made again. */
  #gone = false;

  constructor(session: PublishSession, connection: RabbitmqConnection, settings: RabbitmqSettings) {
    this.#session = session;
    this.#connection = connection;
    this.#settings = settings;
    this.#queues = new QueueMaker(connection, settings);
  }

  /** Rejects with HF_CONFIG where one of its queues cannot be used. */
  ensure(destination: string, signal: AbortSignal): Promise<void> {
    let made = this.#made.get(destination);
    if (made === undefined) {
      made = this.#make(destination, signal);
      this.#made.set(destination, made);
      made.catch(() => this.#made.delete(destination));
    }
    return made;
  }

  /** It has turned out not to be there. */
  forget(queue: string): void {
    this.#queues.forget(queue);
    this.#gone = true;
    this.#made.clear();
  }

  /** All its partitions, so that a receiver finds each by its number. */
  async #make(destination: string, signal: AbortSignal): Promise<void> {
    const connection = this.#connection;
    const settings = this.#settings;
    const { partitions, ordered } = settings.layoutOf(destination);
    const isNew = settings.declare && (this.#gone || !(await hasRegister({ connection, settings, destination })));
    const names = Array.from({ length: partitions }, (_, index) => partitionQueue(settings.prefix, destination, index));
    for (let first = 0; first < partitions; first += QUEUES_AT_ONCE) {
      const some = names.slice(first, first + QUEUES_AT_ONCE);
      await Promise.all(some.map((name) => this.#queues.ensureToPublish(name, ordered)));
    }
    if (isNew) await this.#untilReady(names, signal);
  }

  async #untilReady(names: readonly string[], signal: AbortSignal): Promise<void> {
    let waiting = names;
    for (let tries = 0; waiting.length > 0 && tries < READY_TRIES; tries += 1) {
      if (tries > 0) await systemClock.sleep(READY_REST_MS, signal);
      const fences = waiting.map((name) => fenceFor(name, { passing: true }));
      const confirmations = await this.#session.publish(this.#connection, fences, signal);
      waiting = waiting.filter((_, index) => confirmations[index] !== 'stored');
    }
  }
}
