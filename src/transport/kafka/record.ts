/**
 * A message as a record of Kafka, by the Kafka binding of CloudEvents. Pure.
 */
import type { Message } from 'kafkajs';
import { HoldfastError } from '../../errors.ts';
import { memberText } from '../../message/exact-json.ts';
import type { OutboundMessage } from '../port.ts';

/** How a message is written into a record. */
export type KafkaFormat = 'structured' | 'binary';

/** Throws HF_MESSAGE_REFUSED for what is no envelope. */
export function recordOf(message: OutboundMessage, format: KafkaFormat): Message {
  const { wire, key } = message;
  if (!wire.startsWith('{') || !wire.endsWith('}')) throw refusedEnvelope('is no JSON object');
  if (format === 'binary') return { key, ...binaryParts(wire) };
  return { key, value: wire, headers: { 'content-type': 'application/cloudevents+json; charset=UTF-8' } };
}

/** The payload as the value, with no digit lost, and the attributes as headers. */
function binaryParts(wire: string): Pick<Message, 'value' | 'headers'> {
  const attributes = parse(wire);
  const value = memberText(wire, 'data');
  if (value === undefined) throw refusedEnvelope('has no data');
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  for (const [name, attribute] of Object.entries(attributes)) {
    if (name === 'data' || name === 'datacontenttype') continue;
    if (typeof attribute === 'string' || typeof attribute === 'number' || typeof attribute === 'boolean')
      headers[`ce_${name}`] = String(attribute);
  }
  // Those of the sender; CloudEvents knows no attribute that is an object.
  const own = attributes['headers'];
  if (typeof own === 'object' && own !== null)
    for (const [name, text] of Object.entries(own)) headers[name in headers ? `header_${name}` : name] = String(text);
  return { value, headers };
}

function parse(wire: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(wire) as Record<string, unknown>;
  } catch {
    throw refusedEnvelope('is no JSON');
  }
}

function refusedEnvelope(what: string): HoldfastError {
  return new HoldfastError('HF_MESSAGE_REFUSED', `The envelope ${what}.`, {
    advice: 'Only messages of an outbox can be sent on.',
  });
}

/** A message of a batch that is to be sent. */
export interface PlacedRecord {
  readonly topic: string;
  readonly record: Message;
  /** Place in the batch. */
  readonly index: number;
  readonly bytes: number;
}

/** A broker takes what one request has for a partition as one, and has a limit for that: `message.max.bytes`, 1 MiB by default. */
const CHUNK_BYTES = 512 * 1024;
const CHUNK_RECORDS = 1_000;

/** In their order, so that each is sent before the next. */
export function* recordChunks(records: readonly PlacedRecord[]): Generator<readonly PlacedRecord[]> {
  let chunk: PlacedRecord[] = [];
  let bytes = 0;
  for (const record of records) {
    if (chunk.length > 0 && (chunk.length === CHUNK_RECORDS || bytes + record.bytes > CHUNK_BYTES)) {
      yield chunk;
      chunk = [];
      bytes = 0;
    }
    chunk.push(record);
    bytes += record.bytes;
  }
  if (chunk.length > 0) yield chunk;
}

/** For `sendBatch`. Each topic in the order of the batch. */
export function byTopic(
  records: readonly PlacedRecord[],
): readonly { readonly topic: string; readonly messages: Message[] }[] {
  const topics = new Map<string, Message[]>();
  for (const { topic, record } of records) {
    const known = topics.get(topic);
    if (known === undefined) topics.set(topic, [record]);
    else known.push(record);
  }
  return [...topics].map(([topic, messages]) => ({ topic, messages }));
}
