/**
 * Sees to it that a publisher spreads the messages of a destination as all others do. Where the destination is ordered, and they were spread
 * otherwise, it must wait until those are handled: the next message of a key could overtake the ones in another queue.
 *
 * That everything is handled is known by fences: messages of our own at the end of each partition. A partition has one consumer with one
 * message in hand, so a fence that was handed out has nothing before it that is not done.
 */
import { HoldfastError } from '../../errors.ts';
import type { RabbitmqConnection } from './connection.ts';
import { fenceFor } from './fence.ts';
import type { RabbitmqSettings } from './options.ts';
import { type PartitionNumbers, readRegister, type RegisterOptions, replaceRegister } from './partition-register.ts';
import type { PublishSession } from './publish-session.ts';
import { countQueue } from './queue-maker.ts';
import { partitionQueue } from './topology.ts';

/** Another process may meanwhile have laid out a destination otherwise. */
const LOOK_AGAIN_MS = 30_000;

interface Agreement {
  readonly connection: RabbitmqConnection;
  readonly atMs: number;
  readonly numbers: PartitionNumbers;
}

export class PublishedLayouts {
  readonly #session: PublishSession;
  readonly #settings: RabbitmqSettings;
  readonly #agreed = new Map<string, Agreement>();
  /** Destinations that have fences of this publisher, and in how many partitions. */
  readonly #fenced = new Map<string, number>();

  constructor(session: PublishSession, settings: RabbitmqSettings) {
    this.#session = session;
    this.#settings = settings;
  }

  /**
   * Resolves once messages may be spread as this process was told. Rejects with HF_TRANSPORT_UNAVAILABLE while the destination is ordered
   * and holds messages that were spread otherwise.
   */
  async agree(connection: RabbitmqConnection, destination: string, signal: AbortSignal): Promise<void> {
    const { partitions } = this.#settings.layoutOf(destination);
    // Without the right to make anything, numbers cannot be written.
    if (!this.#settings.declare) return;
    const known = this.#agreed.get(destination);
    if (known?.connection === connection && performance.now() - known.atMs < LOOK_AGAIN_MS) return;
    const register = { connection, settings: this.#settings, destination };
    const guess = known?.numbers ?? { partitions, widest: partitions };
    let numbers = await readRegister(register, guess);
    if (numbers.partitions !== partitions) numbers = await this.#change(register, numbers, signal);
    this.#agreed.set(destination, { connection, atMs: performance.now(), numbers });
  }

  async #change(register: RegisterOptions, current: PartitionNumbers, signal: AbortSignal): Promise<PartitionNumbers> {
    const { destination } = register;
    const { partitions, ordered } = this.#settings.layoutOf(destination);
    if (ordered && !(await this.#isHandled(register, current.partitions, signal)))
      throw mustWait(destination, current.partitions, partitions);
    this.#fenced.delete(destination);
    const widest = Math.max(partitions, current.widest, current.partitions);
    const written = await replaceRegister(register, { partitions, widest });
    // Somebody else was faster.
    if (ordered && written.partitions !== partitions) throw mustWait(destination, written.partitions, partitions);
    return written;
  }

  /** Whether everything is done with that was spread over so many partitions. */
  async #isHandled(
    { connection, destination }: RegisterOptions,
    partitions: number,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { prefix, publishTimeoutMs } = this.#settings;
    const queues = Array.from({ length: partitions }, (_, partition) => partitionQueue(prefix, destination, partition));
    if (this.#fenced.get(destination) !== partitions) {
      const confirmations = await this.#session.publish(
        connection,
        queues.map((queue) => fenceFor(queue)),
        signal,
      );
      // A queue that is not there holds nothing.
      if (confirmations.includes('refused')) return false;
      this.#fenced.set(destination, partitions);
    }
    const counts = await Promise.all(queues.map((queue) => countQueue(connection, queue, publishTimeoutMs)));
    // A queue without a leader says that it has nothing, and no consumers either.
    return counts.every((count) => count === null || (count.messages === 0 && count.consumers > 0));
  }
}

function mustWait(destination: string, current: number, own: number): HoldfastError {
  return new HoldfastError(
    'HF_TRANSPORT_UNAVAILABLE',
    `${destination} is ordered and holds messages spread over ${current} partitions; this publisher was told ${own}.`,
    {
      advice: 'It goes on by itself once consumers have drained them. If the number was not to change, mend queues.',
      details: { destination, partitions: current, own },
    },
  );
}
