/**
 * The Publisher of both BullMQ transports: a batch becomes chunks per queue, the chunks of one queue go one after another.
 */
import type { IQueueBackend } from 'bullmq';
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import { agreeOnLayout } from './partition-layout.ts';
import {
  assertDestination,
  type BullmqBroker,
  type BullmqSettings,
  jobEntry,
  partitionOf,
  type PublisherConnection,
  queueName,
} from './parts.ts';
import type { OutboundMessage, Publisher, PublishOutcome } from '../port.ts';
import { settledOrAborted } from '../shared.ts';

/** Jobs in one addJobs call; measured on a local Redis, 100 to 500 are alike and more only holds the event loop longer. */
export const CHUNK_MESSAGES = 250;
/** A chunk ends early at this many characters, so that large messages do not pile up in one command. */
const CHUNK_CHARACTERS = 4 * 1024 * 1024;

/** Another process may meanwhile have laid out a destination otherwise, or the broker may have forgotten. */
const LOOK_AGAIN_MS = 30_000;

const PUBLISHED: PublishOutcome = { kind: 'published' };

interface Placed {
  readonly message: OutboundMessage;
  /** Place in the batch. */
  readonly index: number;
}

export function bullmqPublisher(broker: BullmqBroker, settings: BullmqSettings): Publisher {
  let opening: Promise<PublisherConnection> | undefined;
  let closing: Promise<void> | undefined;
  const backends = new Map<string, { root: IQueueBackend; queue: IQueueBackend }>();
  /** Destinations on whose number of partitions all agree, and when that was last looked at. */
  const agreed = new Map<string, { readonly root: IQueueBackend; atMs: number }>();

  async function openLink(): Promise<PublisherConnection> {
    if (closing === undefined && opening === undefined) {
      const attempt = broker.load().then((links) => links.openPublisherConnection(settings));
      opening = attempt;
      // What could not be loaded is tried again by the next call.
      attempt.catch(() => void (opening = undefined));
    }
    const link = await opening;
    if (closing !== undefined || link === undefined) throw new HoldfastError('HF_STOPPED', 'The publisher is closed.');
    return link;
  }
  // Nothing is opened by that, but the first message need not wait for it. Whoever publishes is told when it fails.
  openLink().catch(() => {});

  async function queueBackend(name: string, signal: AbortSignal): Promise<IQueueBackend> {
    const root = await (await openLink()).ready(signal);
    let entry = backends.get(name);
    if (entry === undefined || entry.root !== root) {
      entry = { root, queue: root.forQueue(name) };
      backends.set(name, entry);
    }
    return entry.queue;
  }

  /** One exchange with the broker. When it takes too long the connection is given up: the answer is unknown either way. */
  async function roundTrip<T>(work: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`no answer within ${settings.publishTimeoutMs} ms`));
        void opening?.then((link) => link.drop());
      }, settings.publishTimeoutMs);
    });
    // Both are awaited by the race; whichever settles second has nobody left to tell.
    work.catch(() => {});
    late.catch(() => {});
    try {
      return await Promise.race([work, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async function publishChunk(
    name: string,
    chunk: readonly Placed[],
    outcomes: PublishOutcome[],
    signal: AbortSignal,
  ): Promise<void> {
    const backend = await queueBackend(name, signal);
    const nowMs = Date.now();
    const entries = chunk.map(({ message }) =>
      jobEntry(message, broker.dataOf(message.wire), settings.jobOptions, nowMs),
    );
    let ids: readonly unknown[];
    try {
      ids = await roundTrip(backend.addJobs(entries));
    } catch (error) {
      if (!(error instanceof Error) || !broker.isMessageFault(error)) throw error;
      const [first, ...others] = chunk;
      if (first !== undefined && others.length === 0) {
        outcomes[first.index] = refused(error, true);
        return;
      }
      // Some message of the chunk is at fault and BullMQ does not say which: one by one, in order. Those that were added
      // already are found by their ids and stay as they are.
      for (const placed of chunk) {
        signal.throwIfAborted();
        await publishChunk(name, [placed], outcomes, signal);
      }
      return;
    }
    for (const [i, { index }] of chunk.entries()) {
      // BullMQ answers with the id it stored under, or with a code below zero.
      if (ids[i] === entries[i]?.jobId) continue;
      outcomes[index] = refused(new Error(`BullMQ answered ${String(ids[i])} instead of the job id`), false);
    }
  }

  /** Asked before the first message of a destination; after that, now and then, while messages go on. */
  async function settleLayout(destination: string, signal: AbortSignal): Promise<void> {
    const root = await (await openLink()).ready(signal);
    const own = settings.partitionsOf(destination);
    const known = agreed.get(destination);
    if (known === undefined || known.root !== root) {
      await roundTrip(agreeOnLayout(root, destination, own));
      agreed.set(destination, { root, atMs: performance.now() });
      return;
    }
    if (performance.now() - known.atMs < LOOK_AGAIN_MS) return;
    known.atMs = performance.now();
    agreeOnLayout(root, destination, own).catch(() => agreed.delete(destination));
  }

  async function publishAll(
    batch: readonly OutboundMessage[],
    signal: AbortSignal,
  ): Promise<readonly PublishOutcome[]> {
    const outcomes = new Array<PublishOutcome>(batch.length).fill(PUBLISHED);
    const lines = new Map<string, Placed[]>();
    for (const [index, message] of batch.entries()) {
      const fault = faultOf(message, settings);
      if (fault !== undefined) {
        outcomes[index] = refused(fault, true);
        continue;
      }
      const name = queueName(message.destination, partitionOf(message, settings.partitionsOf(message.destination)));
      const line = lines.get(name);
      if (line === undefined) lines.set(name, [{ message, index }]);
      else line.push({ message, index });
    }
    const destinations = new Set([...lines.values()].flatMap((line) => line[0]?.message.destination ?? []));
    await Promise.all([...destinations].map((destination) => settleLayout(destination, signal)));
    let failing = false;
    const settled = await Promise.allSettled(
      [...lines].map(async ([name, line]) => {
        try {
          for (const chunk of chunksOf(line)) {
            signal.throwIfAborted();
            if (failing) return;
            await publishChunk(name, chunk, outcomes, signal);
          }
        } catch (error) {
          failing = true; // the other queues would only meet the same broker
          throw error;
        }
      }),
    );
    const failed = settled.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    return outcomes;
  }

  return {
    async publish(batch, { signal }) {
      if (batch.length === 0) return [];
      return guarded(broker.kind, signal, () => publishAll(batch, signal));
    },
    async check({ signal }) {
      await guarded(broker.kind, signal, async () => {
        const link = await openLink();
        await link.ready(signal);
        await roundTrip(link.ping());
      });
    },
    close() {
      closing ??= (async () => {
        const link = await opening?.catch(() => undefined);
        await link?.close();
      })();
      return closing;
    },
  };
}

/** Runs `work` until it settles or `signal` aborts, and makes every failure one of the broker's: its outcome is unknown. */
async function guarded<T>(kind: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    signal.throwIfAborted();
    return await settledOrAborted(work(), signal);
  } catch (error) {
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

function refused(error: Error, permanent: boolean): PublishOutcome {
  const wrapped = isHoldfastError(error)
    ? error
    : new HoldfastError('HF_MESSAGE_REFUSED', `The broker refuses the message: ${error.message}.`, { cause: error });
  return { kind: 'refused', permanent, error: wrapped };
}

/** What makes a message unsendable, found before anything is sent. */
function faultOf(message: OutboundMessage, settings: BullmqSettings): Error | undefined {
  try {
    assertDestination(message.destination);
  } catch (error) {
    return error as Error;
  }
  // It goes to the broker as the text it is; BullMQ could never hand out a job whose data it cannot parse.
  if (!message.wire.startsWith('{') || !message.wire.endsWith('}'))
    return new HoldfastError('HF_MESSAGE_REFUSED', 'The envelope is no JSON object.');
  // A UTF-16 code unit is at most three bytes of UTF-8, so most messages need no counting.
  if (message.wire.length * 3 <= settings.maxMessageBytes) return undefined;
  const bytes = Buffer.byteLength(message.wire);
  if (bytes <= settings.maxMessageBytes) return undefined;
  return new HoldfastError(
    'HF_MESSAGE_REFUSED',
    `The envelope has ${bytes} bytes, more than the ${settings.maxMessageBytes} this transport takes.`,
    {
      advice: 'Send a reference to the data instead, or raise maxMessageBytes if the broker takes more.',
      details: { bytes, limit: settings.maxMessageBytes },
    },
  );
}

function* chunksOf(line: readonly Placed[]): Generator<readonly Placed[]> {
  let chunk: Placed[] = [];
  let characters = 0;
  for (const placed of line) {
    if (
      chunk.length > 0 &&
      (chunk.length === CHUNK_MESSAGES || characters + placed.message.wire.length > CHUNK_CHARACTERS)
    ) {
      yield chunk;
      chunk = [];
      characters = 0;
    }
    chunk.push(placed);
    characters += placed.message.wire.length;
  }
  if (chunk.length > 0) yield chunk;
}
