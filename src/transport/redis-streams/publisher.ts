/**
 * The Publisher. What goes to one partition is sent chunk by chunk, each one command; partitions are independent of each other.
 */
import { setMaxListeners } from 'node:events';
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import type { OutboundMessage, Publisher, PublishOutcome } from '../port.ts';
import { settledOrAborted } from '../shared.ts';
import { PUBLISHED, unsentOutcomes } from '../unsent.ts';
import { brokerFailure, isMessageFault } from './answers.ts';
import { chunkEnd, type PartitionBatch, splitBatch } from './batch.ts';
import type { StreamsConnection } from './connection.ts';
import { addArguments } from './entry.ts';
import { partitionKeys } from './keys.ts';
import { LayoutAgreement } from './layout.ts';
import type { OpenStreams } from './load.ts';
import type { StreamsSettings } from './options.ts';
import { ADD } from './publish-scripts.ts';

/** A partition turns a layout away once; more often it is somebody's doing. */
const MOST_TIMES_TURNED_AWAY = 3;

/** What a publisher has once Redis's client is loaded. */
interface Opened {
  readonly connection: StreamsConnection;
  readonly layouts: LayoutAgreement;
}

export function streamsPublisher(open: OpenStreams, settings: StreamsSettings): Publisher {
  const closing = new AbortController();
  let opening: Promise<Opened> | undefined;

  function opened(): Promise<Opened> {
    if (opening === undefined) {
      const attempt = open().then((connection) => {
        // Closed while the client was loaded.
        if (closing.signal.aborted) connection.end();
        return { connection, layouts: new LayoutAgreement(connection, settings.prefix) };
      });
      opening = attempt;
      // What could not be loaded is tried again by the next call.
      attempt.catch(() => void (opening = undefined));
    }
    return opening;
  }

  /** Until it settles or `signal` aborts; makes every failure one of the broker's, whose outcome is unknown. */
  async function guarded<T>(signal: AbortSignal, what: string, work: (parts: Opened) => Promise<T>): Promise<T> {
    try {
      closing.signal.throwIfAborted();
      signal.throwIfAborted();
      const over = AbortSignal.any([signal, closing.signal]);
      return await settledOrAborted(opened().then(work), over);
    } catch (error) {
      if (closing.signal.aborted) throw closing.signal.reason;
      if (isHoldfastError(error, 'HF_CONFIG')) throw error;
      throw brokerFailure(error, what, 'Nothing is lost: it is sent again once the broker answers.');
    }
  }

  return {
    publish: async (batch, { signal }) =>
      guarded(signal, 'did not take the batch', (parts) => publishBatch(parts, settings, batch, signal)),
    check: ({ signal }) =>
      guarded(signal, 'does not answer', async ({ connection }) => {
        await connection.ask((client) => client.ping(), signal);
      }),
    async close() {
      if (!closing.signal.aborted) closing.abort(new HoldfastError('HF_STOPPED', 'The publisher is closed.'));
      await opening?.then(
        ({ connection }) => connection.end(),
        () => {},
      );
    },
  };
}

/** One batch on its way. */
interface Publishing extends Opened {
  readonly settings: StreamsSettings;
  /** Gets what Redis refuses. */
  readonly outcomes: PublishOutcome[];
  readonly signal: AbortSignal;
}

async function publishBatch(
  opened: Opened,
  settings: StreamsSettings,
  batch: readonly OutboundMessage[],
  signal: AbortSignal,
): Promise<readonly PublishOutcome[]> {
  const outcomes = unsentOutcomes(batch);
  const failing = new AbortController();
  const either = AbortSignal.any([signal, failing.signal]);
  // Each partition listens to it.
  setMaxListeners(0, either);
  const publishing = { ...opened, settings, outcomes, signal: either };
  const settled = await Promise.allSettled(
    splitBatch(batch, settings, outcomes).map(async (part) => {
      try {
        await publishPart(publishing, part);
      } catch (error) {
        // The other partitions would only meet the same broker.
        failing.abort(error);
        throw error;
      }
    }),
  );
  const failed = settled.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failing.signal.reason ?? failed.reason;
  return outcomes;
}

/** Chunk by chunk, in order. */
async function publishPart(publishing: Publishing, part: PartitionBatch): Promise<void> {
  const { layouts, settings, outcomes, signal } = publishing;
  const { destination, partition, messages, places } = part;
  const keys = partitionKeys(settings.prefix, destination, partition);
  const own = settings.partitionsOf(destination);
  let at = 0;
  let turnedAway = 0;
  while (at < messages.length) {
    signal.throwIfAborted();
    // oxlint-disable-next-line no-await-in-loop -- in order
    const { token } = await layouts.of(destination, own, signal);
    const chunk = messages.slice(at, chunkEnd(messages, at));
    // oxlint-disable-next-line no-await-in-loop
    const answer = await add(publishing, [keys.stream, keys.layout], token, chunk);
    if (answer === 'stale') {
      turnedAway += 1;
      if (turnedAway > MOST_TIMES_TURNED_AWAY)
        throw new Error(`${destination} is being laid out anew by another publisher`);
      // oxlint-disable-next-line no-await-in-loop
      await layouts.turnedAway(destination, partition, own, signal);
      continue;
    }
    const [added, refusal] = answer;
    for (const place of places.slice(at, at + added)) outcomes[place] = PUBLISHED;
    at += added;
    if (refusal === '') continue;
    if (!isMessageFault(refusal)) throw new Error(refusal);
    const error = new HoldfastError('HF_MESSAGE_REFUSED', `Redis refuses the message: ${refusal}.`);
    outcomes[places[at] ?? -1] = { kind: 'refused', permanent: true, error };
    at += 1;
  }
}

/** How many of a chunk were added and, where one was refused, why; or that the layout is not that of the partition. */
async function add(
  { connection, settings, signal }: Publishing,
  keys: readonly string[],
  token: string,
  chunk: readonly OutboundMessage[],
): Promise<'stale' | readonly [number, string]> {
  const args = [token, ...chunk.flatMap(addArguments)];
  const { replicas: wanted } = settings;
  if (wanted === 0) return (await connection.run(ADD, keys, args, signal)) as 'stale' | [number, string];
  const { answer, replicas } = await connection.runReplicated(ADD, keys, args, signal);
  if (answer !== 'stale' && replicas < wanted) throw new Error(`only ${replicas} of ${wanted} replicas have it so far`);
  return answer as 'stale' | [number, string];
}
