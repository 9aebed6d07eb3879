/**
 * Message types: topic, schema, key and version, declared once and used by sender and reader alike.
 * What is sent is the schema's *input* form; the reader validates again and gets the *output* form, so that
 * transforms and defaults apply once, at the reader.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { HoldfastError } from '../errors.ts';
import { badOption, refuseUnknownOptions } from '../runtime/options.ts';
import type { ExactNumbers } from './exact-json.ts';
import { encodePayload } from './payload.ts';
import { assertKey } from './text.ts';
import { assertTopic } from './topic-pattern.ts';
import { validate } from './validate.ts';

/** Turns a payload of the version it stands under into one of the next version. */
export type Upcast = (old: unknown) => unknown;

/** A declared message. `Input` is what senders give, `Output` what handlers get. */
export interface MessageType<Topic extends string = string, Input = unknown, Output = unknown> {
  readonly topic: Topic;
  readonly version: number;
  readonly schema: StandardSchemaV1<Input, Output>;
  /** How numbers are read that a double would alter; null: as doubles, by JSON.parse. */
  readonly numbers: ExactNumbers | null;
  /** By version, without gaps up to `version - 1`. */
  readonly upcasts: ReadonlyMap<number, Upcast>;
  /** The key of a validated payload; null when the type declares none. Not yet checked. */
  keyOf(payload: Output): string | null;
}

/** What `send` takes for a message type. */
export type PayloadInput<Type extends MessageType> = StandardSchemaV1.InferInput<Type['schema']>;
/** What handlers of a message type get. */
export type PayloadOf<Type extends MessageType> = StandardSchemaV1.InferOutput<Type['schema']>;

/** Options of {@link message}. */
export interface MessageOptions<Schema extends StandardSchemaV1> {
  /** Any Standard Schema: Zod, Valibot, ArkType, or your own. It may validate asynchronously. */
  readonly schema: Schema;
  /** Messages of one key keep their order. Gets the validated payload. Without it, no order is kept. */
  readonly key?: ((payload: StandardSchemaV1.InferOutput<Schema>) => string) | undefined;
  /** The version of the payload's shape, from 1 on (the default). Raise it with an upcast when old messages no longer fit the schema. */
  readonly version?: number | undefined;
  /** For each older version that can still be on its way: how to turn it into the next one. */
  readonly upcast?: Readonly<Record<number, Upcast>> | undefined;
  /**
   * How the reader is given numbers that a double would alter, such as 9007199254740993 from another language; all
   * others stay numbers. 'text': as they are written. 'bigint': whole ones as BigInt, others as text. So write
   * `z.coerce.bigint()` or `z.coerce.string()` where they can come. What would be Infinity is refused.
   *
   * @defaultValue as JSON.parse reads them, rounded
   */
  readonly numbers?: ExactNumbers | undefined;
}

/**
 * Declares a message type.
 *
 * @throws HoldfastError HF_MESSAGE_TYPE, HF_OPTION_UNKNOWN
 * @example
 * const OrderPlaced = message('order.placed', {
 *   schema: z.object({ orderId: z.string(), total: z.number() }),
 *   key: (order) => order.orderId,
 * });
 */
export function message<const Topic extends string, Schema extends StandardSchemaV1>(
  topic: Topic,
  options: MessageOptions<Schema>,
): MessageType<Topic, StandardSchemaV1.InferInput<Schema>, StandardSchemaV1.InferOutput<Schema>> {
  assertTopic(topic);
  const where = `message('${topic}')`;
  refuseUnknownOptions(options, ['schema', 'key', 'version', 'upcast', 'numbers'], where);
  const { schema, key, version = 1, upcast = {}, numbers = null } = options;
  if (typeof schema?.['~standard']?.validate !== 'function') {
    throw badType(
      where,
      'schema is not a Standard Schema',
      'Use Zod from 3.24 on, Valibot, ArkType, or another one of https://standardschema.dev.',
    );
  }
  if (key !== undefined && typeof key !== 'function')
    throw badType(where, 'key is not a function', 'Write key: (payload) => payload.orderId.');
  if (!Number.isInteger(version) || version < 1 || version > 1_000_000)
    throw badType(where, `version is ${version}`, 'Give a whole number from 1 on.');
  if (numbers !== null && numbers !== 'text' && numbers !== 'bigint')
    throw badType(where, `numbers is ${JSON.stringify(numbers)}`, "Use 'text' or 'bigint', or leave it out.");
  return {
    topic,
    version,
    schema,
    numbers,
    upcasts: checkUpcasts(upcast, version, where),
    keyOf: (payload) => (key === undefined ? null : key(payload)),
  };
}

/** Versions may be given up from below, but between the oldest one still read and the newest none may be missing. */
function checkUpcasts(
  upcast: Readonly<Record<number, Upcast>>,
  version: number,
  where: string,
): ReadonlyMap<number, Upcast> {
  const upcasts = new Map<number, Upcast>();
  for (const [key, step] of Object.entries(upcast)) {
    const from = Number(key);
    if (!Number.isInteger(from) || from < 1)
      throw badType(where, `upcast has the key ${JSON.stringify(key)}`, 'Its keys are versions, from 1 on.');
    if (from >= version)
      throw badType(
        where,
        `upcast ${from} starts at or above version ${version}`,
        `Raise version to ${from + 1}, or remove it.`,
      );
    if (typeof step !== 'function')
      throw badType(where, `upcast ${from} is not a function`, `Write ${from}: (old) => ({ ...old }).`);
    upcasts.set(from, step);
  }
  const lowest = Math.min(...upcasts.keys(), version);
  for (let from = lowest; from < version; from += 1) {
    if (!upcasts.has(from)) {
      throw badType(
        where,
        `upcast lacks version ${from}`,
        `Say how version ${from} becomes ${from + 1}; from ${lowest} up to ${version - 1} none may be missing.`,
      );
    }
  }
  return upcasts;
}

function badType(where: string, what: string, advice: string): HoldfastError {
  return badOption(`${where}:`, what, advice, 'HF_MESSAGE_TYPE');
}

/** A payload ready to be stored: checked, as JSON text, with its key. */
export interface EncodedMessage {
  readonly text: string;
  readonly key: string | null;
}

export interface EncodeForSendOptions {
  /** Most UTF-8 bytes of JSON. */
  readonly maxBytes: number;
  /** Instead of the key that the type would compute; null for none. */
  readonly key?: string | null | undefined;
}

/**
 * Validates and encodes a payload for sending. A promise only when the schema validates asynchronously.
 * @throws HoldfastError HF_PAYLOAD_INVALID, HF_PAYLOAD_NOT_JSON, HF_PAYLOAD_TEXT, HF_PAYLOAD_TOO_LARGE, HF_KEY_EMPTY
 */
export function encodeForSend<Type extends MessageType>(
  type: Type,
  payload: PayloadInput<Type>,
  options: EncodeForSendOptions,
): EncodedMessage | Promise<EncodedMessage> {
  // Encoded before an asynchronous validation gives the caller a chance to change the object.
  const text = encodePayload(payload, { maxBytes: options.maxBytes, where: type.topic });
  const validated = validate(type.schema, payload, type.topic);
  if (validated instanceof Promise) return validated.then((output) => withKey(type, text, output, options));
  return withKey(type, text, validated.value, options);
}

function withKey(type: MessageType, text: string, output: unknown, options: EncodeForSendOptions): EncodedMessage {
  const key = options.key === undefined ? type.keyOf(output) : options.key;
  assertKey(key, type.topic);
  return { text, key };
}
