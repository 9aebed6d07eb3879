/**
 * The Publisher of both BullMQ transports. A batch is split into chunks for each queue; the chunks of one queue are sent one after another.
 */
import type { IQueueBackend } from 'bullmq';
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import type { OutboundMessage, Publisher, PublishOutcome } from '../port.ts';
import { settledOrAborted } from '../shared.ts';
import { PUBLISHED, unsentOutcomes } from '../unsent.ts';
import { chunksOf, placeBatch, type PlacedMessage, refused } from './batch.ts';
import type { BullmqBroker } from './broker.ts';
import { jobEntry } from './jobs.ts';
import type { BullmqSettings } from './options.ts';
import { agreeOnLayout } from './partition-layout.ts';
import { LazyPublisherConnection } from './publisher-connection.ts';
import type { QueueAccess } from './queue-access.ts';

/** Another process may meanwhile have laid out a destination otherwise, or the broker may have forgotten. */
const LOOK_AGAIN_MS = 30_000;

export function bullmqPublisher(broker: BullmqBroker, settings: BullmqSettings): Publisher {
  const connection = new LazyPublisherConnection(broker, settings);
  const batches = new BatchPublisher(connection, broker, settings);
  return {
    async publish(batch, { signal }) {
      if (batch.length === 0) return [];
      return guarded(broker, signal, () => batches.publish(batch, signal));
    },
    async check({ signal }) {
      await guarded(broker, signal, () =>
        connection.use(async (open) => {
          await open.reach(signal);
          await connection.roundTrip(open.ping());
        }),
      );
    },
    close: () => connection.close(),
  };
}

/** One batch on its way. */
interface Sending {
  readonly outcomes: PublishOutcome[];
  /** By which it went. */
  readonly used: Set<IQueueBackend>;
  /** Whether a queue only lies elsewhere by now. */
  readonly hasMoved: (error: Error) => boolean;
  readonly signal: AbortSignal;
}

class BatchPublisher {
  readonly #connection: LazyPublisherConnection;
  readonly #broker: BullmqBroker;
  readonly #settings: BullmqSettings;
  /** Destinations on whose number of partitions all agree, and when that was last looked at. */
  readonly #agreed = new Map<string, { readonly root: IQueueBackend; atMs: number }>();

  constructor(connection: LazyPublisherConnection, broker: BullmqBroker, settings: BullmqSettings) {
    this.#connection = connection;
    this.#broker = broker;
    this.#settings = settings;
  }

  publish(batch: readonly OutboundMessage[], signal: AbortSignal): Promise<readonly PublishOutcome[]> {
    return this.#connection.use(async (open) => {
      const safe = open.watch?.();
      const sending: Sending = {
        outcomes: unsentOutcomes(batch),
        used: new Set(),
        hasMoved: (error) => open.hasMoved?.(error) ?? false,
        signal,
      };
      await this.#send(batch, sending);
      if (safe !== undefined && sending.used.size > 0) await this.#connection.roundTrip(safe(sending.used));
      return sending.outcomes;
    });
  }

  async #send(batch: readonly OutboundMessage[], sending: Sending): Promise<void> {
    const { outcomes, signal } = sending;
    const queues = placeBatch(batch, this.#settings, outcomes);
    const destinations = new Set([...queues.values()].flatMap((placed) => placed[0]?.message.destination ?? []));
    await Promise.all([...destinations].map((destination) => this.#settleLayout(destination, signal)));
    let failing = false;
    const settled = await Promise.allSettled(
      [...queues].map(async ([name, placed]) => {
        try {
          for (const chunk of chunksOf(placed)) {
            signal.throwIfAborted();
            if (failing) return;
            await this.#publishChunk(name, chunk, sending);
          }
        } catch (error) {
          failing = true; // the other queues would only meet the same broker
          throw error;
        }
      }),
    );
    const failed = settled.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  async #publishChunk(
    name: string,
    chunk: readonly PlacedMessage[],
    sending: Sending,
    isSecondTry = false,
  ): Promise<void> {
    const { outcomes, used, signal } = sending;
    const { root, queue } = await this.#connection.queue(name, signal);
    used.add(root);
    const nowMs = Date.now();
    const { jobOptions } = this.#settings;
    const entries = chunk.map(({ message }) => jobEntry(message, this.#broker.dataOf(message.wire), jobOptions, nowMs));
    let ids: readonly unknown[];
    try {
      ids = await this.#connection.roundTrip(queue.addJobs(entries));
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      if (!isSecondTry && sending.hasMoved(error)) {
        await this.#publishChunk(name, chunk, sending, true);
        return;
      }
      if (!this.#broker.isMessageFault(error)) throw error;
      const [first, ...others] = chunk;
      if (first !== undefined && others.length === 0) {
        outcomes[first.index] = refused(error, true);
        return;
      }
      // Some message of the chunk is at fault and BullMQ does not say which: one by one, in order. Those that were added
      // already are found by their ids and stay as they are.
      for (const placed of chunk) {
        signal.throwIfAborted();
        await this.#publishChunk(name, [placed], sending);
      }
      return;
    }
    for (const [i, { index }] of chunk.entries()) {
      // BullMQ answers with the id it stored under, or with a code below zero.
      outcomes[index] =
        ids[i] === entries[i]?.jobId
          ? PUBLISHED
          : refused(new Error(`BullMQ answered ${String(ids[i])} instead of the job id`), false);
    }
  }

  /** Asked before the first message of a destination; after that, now and then, while messages go on. */
  async #settleLayout(destination: string, signal: AbortSignal): Promise<void> {
    const { naming, partitionsOf } = this.#settings;
    const own = partitionsOf(destination);
    const { root } = await this.#connection.queue(naming.queueName(destination, 0), signal);
    const access: QueueAccess = {
      partition: async (of, index) => (await this.#connection.queue(naming.queueName(of, index), signal)).queue,
      clientLists: async () => null,
    };
    const known = this.#agreed.get(destination);
    if (known === undefined || known.root !== root) {
      await this.#connection.roundTrip(agreeOnLayout(access, destination, own));
      this.#agreed.set(destination, { root, atMs: performance.now() });
      return;
    }
    if (performance.now() - known.atMs < LOOK_AGAIN_MS) return;
    known.atMs = performance.now();
    agreeOnLayout(access, destination, own).catch(() => this.#agreed.delete(destination));
  }
}

/** Runs `work` until it settles or `signal` aborts, and makes every failure one of the broker's: its outcome is unknown. */
async function guarded<T>(
  { kind, explain }: Pick<BullmqBroker, 'kind' | 'explain'>,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  try {
    signal.throwIfAborted();
    return await settledOrAborted(work(), signal);
  } catch (failure) {
    const error = failure instanceof Error ? (explain?.(failure) ?? failure) : failure;
    if (isHoldfastError(error, 'HF_STOPPED') || isHoldfastError(error, 'HF_CONFIG')) throw error;
    throw unavailable(kind, error);
  }
}

function unavailable(kind: string, cause: unknown): HoldfastError {
  if (isHoldfastError(cause, 'HF_TRANSPORT_UNAVAILABLE')) return cause;
  // ioredis says "Reached the max retries per request limit (which is 0)" when a connection breaks under a command.
  const lost = cause instanceof Error && cause.name === 'MaxRetriesPerRequestError';
  const why = lost
    ? 'the connection was lost'
    : (cause instanceof Error ? cause.message : String(cause)).replace(/\.$/, '');
  return new HoldfastError('HF_TRANSPORT_UNAVAILABLE', `The broker (${kind}) did not take the batch: ${why}.`, {
    advice: 'Nothing is lost: it is sent again once the broker answers.',
    cause,
  });
}
