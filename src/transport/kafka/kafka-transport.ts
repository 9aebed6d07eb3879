/**
 * Kafka as a transport that only sends: destinations are topics, keys say which partition. A batch is acknowledged by all replicas that are in
 * sync (`acks: all`) before it counts.
 */
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import { SINK } from '../abilities.ts';
import type { OutboundMessage, Publisher, PublishOutcome, Transport } from '../port.ts';
import { settledOrAborted, transportOf } from '../shared.ts';
import { PUBLISHED, unsentOutcomes } from '../unsent.ts';
import { KafkaConnection } from './connection.ts';
import { faultOf, protocolCode } from './kafka-error.ts';
import { type KafkaSettings, type KafkaTransportOptions, resolveKafkaOptions } from './options.ts';
import { byTopic, type PlacedRecord, recordChunks, recordOf } from './record.ts';

/**
 * A transport that sends messages to Kafka. Only relays can use it; a consumer on it is refused. The destination of a route is a topic, which
 * must be there. Nothing is connected before a relay uses it. Needs `npm install kafkajs`.
 *
 * @throws HoldfastError HF_CONFIG, HF_DURATION, HF_OPTION_UNKNOWN
 * @example
 * const kafka = createKafkaTransport({ brokers: ['kafka-1:9092', 'kafka-2:9092'] });
 * createRelay({
 *   database,
 *   subscriptions: [{ name: 'kafka', transport: kafka, routes: [{ topics: 'order.*', to: 'orders' }] }],
 * });
 */
export function createKafkaTransport(options: KafkaTransportOptions): Transport {
  const settings = resolveKafkaOptions(options);
  return transportOf({
    kind: 'kafka',
    abilities: { ...SINK, maxMessageBytes: settings.maxMessageBytes },
    address: `kafka ${settings.brokers.toSorted().join(',')}`,
    publisher: () => kafkaPublisher(settings),
  });
}

/** A topic that is not there, or may not be written, is looked at again after this. */
const TOPIC_AGAIN_MS = 30_000;
/** All replicas that are in sync. */
const ALL = -1;

function kafkaPublisher(settings: KafkaSettings): Publisher {
  const connection = new KafkaConnection(settings);
  return {
    async publish(batch, { signal }) {
      const outcomes = unsentOutcomes(batch);
      const records = placeRecords(batch, settings, outcomes);
      if (records.length > 0) await guarded(connection, signal, () => sendAll(connection, records, outcomes, signal));
      return outcomes;
    },
    check: ({ signal }) => guarded(connection, signal, () => connection.ask()),
    close: () => connection.close(),
  };
}

function placeRecords(
  batch: readonly OutboundMessage[],
  { format, maxMessageBytes }: KafkaSettings,
  outcomes: PublishOutcome[],
): readonly PlacedRecord[] {
  return batch.flatMap((message, index) => {
    const bytes = Buffer.byteLength(message.wire);
    try {
      if (bytes > maxMessageBytes) throw tooLarge(bytes, maxMessageBytes);
      return [{ topic: message.destination, record: recordOf(message, format), index, bytes }];
    } catch (error) {
      outcomes[index] = { kind: 'refused', permanent: true, error: error as Error };
      return [];
    }
  });
}

async function sendAll(
  connection: KafkaConnection,
  records: readonly PlacedRecord[],
  outcomes: PublishOutcome[],
  signal: AbortSignal,
): Promise<void> {
  for (const chunk of recordChunks(records)) await sendChunk(connection, chunk, outcomes, signal);
}

/** Of a chunk that is refused, finds what is at fault, in order: a topic, or a message. What was stored already is stored again. */
async function sendChunk(
  connection: KafkaConnection,
  chunk: readonly PlacedRecord[],
  outcomes: PublishOutcome[],
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const producer = await connection.producer();
  const topics = byTopic(chunk);
  try {
    await producer.sendBatch({ acks: ALL, topicMessages: [...topics] });
    for (const { index } of chunk) outcomes[index] = PUBLISHED;
  } catch (error) {
    const fault = faultOf(error);
    if (fault === 'cluster') throw error;
    for (const part of dividedChunk(chunk, fault, topics.length)) {
      if (part === chunk) for (const { index, topic } of chunk) outcomes[index] = refusalOf(error, topic, fault);
      else await sendChunk(connection, part, outcomes, signal);
    }
  }
}

/** What a refused chunk is sent as next; the chunk itself when there is nothing left to divide. Pure. */
export function dividedChunk(
  chunk: readonly PlacedRecord[],
  fault: 'message' | 'topic',
  topics: number,
): readonly (readonly PlacedRecord[])[] {
  if (topics > 1) return byTopic(chunk).map(({ topic }) => chunk.filter((record) => record.topic === topic));
  if (fault === 'topic' || chunk.length === 1) return [chunk];
  const middle = Math.ceil(chunk.length / 2);
  return [chunk.slice(0, middle), chunk.slice(middle)];
}

function refusalOf(cause: unknown, topic: string, fault: 'message' | 'topic'): PublishOutcome {
  const said = cause instanceof Error ? cause.message.replace(/\.$/, '') : String(cause);
  const code = protocolCode(cause);
  const advice =
    fault === 'message'
      ? 'Send a reference to the data instead, or raise message.max.bytes of the cluster.'
      : 'Create the topic, or give the user the right to write it; the message then goes out by itself.';
  const error = new HoldfastError('HF_MESSAGE_REFUSED', `Kafka refuses it for ${JSON.stringify(topic)}: ${said}.`, {
    advice,
    cause,
    details: { topic, code },
  });
  return fault === 'message'
    ? { kind: 'refused', permanent: true, error }
    : { kind: 'refused', permanent: false, error, later: { delayMs: TOPIC_AGAIN_MS, attempted: true } };
}

function tooLarge(bytes: number, limit: number): HoldfastError {
  return new HoldfastError('HF_MESSAGE_REFUSED', `The envelope has ${bytes} bytes, more than ${limit}.`, {
    advice: 'Send a reference to the data instead, or raise maxMessageBytes if the cluster takes more.',
    details: { bytes, limit },
  });
}

/** Makes every failure one of the cluster, whose outcome is unknown, and gives the connection up after it. */
async function guarded<T>(connection: KafkaConnection, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    signal.throwIfAborted();
    return await settledOrAborted(work(), signal);
  } catch (error) {
    if (isHoldfastError(error, 'HF_STOPPED')) throw error;
    connection.drop();
    if (isHoldfastError(error, 'HF_TRANSPORT_UNAVAILABLE')) throw error;
    const said = error instanceof Error ? error.message.replace(/\.$/, '') : String(error);
    throw new HoldfastError('HF_TRANSPORT_UNAVAILABLE', `Kafka did not take the batch: ${said}.`, {
      advice: 'Nothing is lost: it is sent again once the cluster answers.',
      cause: error,
    });
  }
}
