/**
 * The writer: puts messages into the outbox inside the caller's transaction. They travel if, and only if, it commits.
 * The public door for services; consumers and sagas send through it as well.
 */

import { HoldfastError } from '../errors.ts';
import { noteClear } from '../message/clear-senders.ts';
import type { PayloadCodec } from '../message/codec.ts';
import type { MessageType, PayloadInput } from '../message/message-type.ts';
import { noteMessages } from '../postgres/commit-hints.ts';
import { openTransaction, type OpenTransaction, type TransactionHandle } from '../postgres/executor.ts';
import { callInTransaction, transactionalCall, type TransactionalCall } from '../postgres/in-transaction.ts';
import { assertSchemaName, DEFAULT_SCHEMA } from '../postgres/quoting.ts';
import { sequenceBehind, violated } from '../postgres/sequences.ts';
import { refuseUnknownOptions } from '../runtime/options.ts';
import { notePreparer } from './preparer.ts';
import { DEFAULT_MAX_BYTES, messageText, prepareMessage, type PreparedMessage } from './prepare.ts';
import { checkSendOptions, type SendOptions } from './send-options.ts';

/** Options of {@link createOutbox}. */
export interface OutboxOptions {
  /**
   * Schema of the Holdfast tables.
   *
   * @defaultValue 'holdfast'
   */
  readonly schema?: string | undefined;
  /**
   * Who sends, the CloudEvents source: by convention the service's name.
   *
   * @defaultValue what the relay is configured with
   */
  readonly source?: string | undefined;
  /**
   * Most UTF-8 bytes of one payload as JSON.
   *
   * @defaultValue 1 MiB
   */
  readonly maxBytes?: number | undefined;
  /**
   * Makes payloads unreadable where they are kept: in the tables, the broker, dumps and what is shown. Whoever reads them needs it as well.
   *
   * @defaultValue payloads are kept as they are
   */
  readonly codec?: PayloadCodec | undefined;
}

/** One message of a batch. Make it with `item()`, which checks the payload against the type. */
export interface OutboxItem {
  readonly type: MessageType;
  readonly payload: unknown;
  readonly options?: SendOptions | undefined;
}

/** What {@link Outbox.send} gives back. */
export interface SentMessage {
  /** The message id, a UUID. */
  readonly id: string;
}

/**
 * Everything is checked before anything is written: errors are HF_PAYLOAD_INVALID, HF_PAYLOAD_NOT_JSON, HF_PAYLOAD_TEXT,
 * HF_PAYLOAD_TOO_LARGE, HF_KEY_EMPTY, HF_OPTION_UNKNOWN, HF_CONFIG, HF_DURATION, HF_TX_UNSUPPORTED, HF_NOT_IN_TRANSACTION.
 * The statement itself may fail with HF_MESSAGE_DUPLICATE, HF_SEQUENCE_BEHIND, HF_SCHEMA_MISSING, HF_SCHEMA_MOVED, HF_PERMISSION, HF_DATABASE_READ_ONLY,
 * HF_DATABASE_UNAVAILABLE or an error of the driver; the caller's transaction is then aborted, as by any failed statement.
 */
export interface Outbox {
  /** Appends one message, or with `deliverAt` or `delay` notes it for later. */
  send<Type extends MessageType>(
    tx: TransactionHandle,
    type: Type,
    payload: PayloadInput<Type>,
    options?: SendOptions,
  ): Promise<SentMessage>;
  /** Appends messages in the order given, with one statement (two when some are delayed). Resolves with their ids in that order. */
  sendAll(tx: TransactionHandle, items: readonly OutboxItem[]): Promise<readonly SentMessage[]>;
}

/** JSON of one batch, above which PostgreSQL, whose limit is 1 GiB for one value, is not troubled. */
const MAX_BATCH_BYTES = 256 * 1_048_576;

/**
 * A message for sendAll, its payload checked against the type by the compiler.
 *
 * @example
 * await database.transaction((tx) =>
 *   outbox.sendAll(tx, [item(OrderPlaced, { orderId: 'o-1', total: 12 }), item(ReserveStock, { orderId: 'o-1' })]),
 * );
 */
export function item<Type extends MessageType>(
  type: Type,
  payload: PayloadInput<Type>,
  options?: SendOptions,
): OutboxItem {
  return { type, payload, options };
}

/**
 * Opens no connection. Throws HF_CONFIG and HF_OPTION_UNKNOWN on bad options.
 *
 * @example
 * const outbox = createOutbox();
 * await database.transaction(async (tx) => {
 *   await tx.query('INSERT INTO orders (id) VALUES ($1)', ['o-1']);
 *   await outbox.send(tx, OrderPlaced, { orderId: 'o-1', total: 12 });
 * });
 */
export function createOutbox(options: OutboxOptions = {}): Outbox {
  refuseUnknownOptions(options, ['schema', 'source', 'maxBytes', 'codec'], 'createOutbox');
  const { source, codec, maxBytes = DEFAULT_MAX_BYTES } = options;
  const schema = assertSchemaName(options.schema ?? DEFAULT_SCHEMA);
  if (!Number.isInteger(maxBytes) || maxBytes < 2) {
    throw new HoldfastError('HF_CONFIG', `createOutbox: maxBytes is ${String(maxBytes)}.`, {
      advice: 'Give a whole number of bytes.',
    });
  }
  // Checked once, here; then it stands in every message.
  checkSendOptions({}, 1, source, 'createOutbox');
  const statements = statementsFor(schema);

  const prepare = (each: OutboxItem, where: string): Promise<PreparedMessage> =>
    prepareMessage(each, { source, maxBytes, where, codec });

  const outbox: Outbox = {
    async send(tx, type, payload, sendOptions = {}) {
      const transaction = openTransaction(tx);
      transaction.showsTransaction();
      const message = await prepare({ type, payload, options: sendOptions }, 'outbox.send');
      if (message.due === undefined) {
        const { id, topic, key, lane, payload: text, attributes } = message;
        await write(transaction, statements.one, [id, topic, key, String(lane), text, attributes]);
        noteMessages(tx);
      } else {
        await write(transaction, statements.later, [batchText([message])]);
      }
      return { id: message.id };
    },
    async sendAll(tx, items) {
      const transaction = openTransaction(tx);
      transaction.showsTransaction();
      if (!isArray(items)) {
        throw new HoldfastError('HF_CONFIG', 'outbox.sendAll: items is no array.', {
          advice: 'Pass [item(type, payload), …].',
        });
      }
      const messages: PreparedMessage[] = [];
      // One after the other, so that the first bad one is the one reported.
      for (const [index, each] of items.entries()) messages.push(await prepare(each, `outbox.sendAll, item ${index}`));
      refuseTwins(messages);
      if (await writeAll(transaction, statements, messages)) noteMessages(tx);
      return messages.map(({ id }) => ({ id }));
    },
  };
  if (codec === undefined) noteClear(outbox);
  return notePreparer(outbox, {
    schema,
    prepare: (type, payload, sendOptions) => prepare({ type, payload, options: sendOptions }, 'outbox.send'),
  });
}

/** For those of the house that have made messages ready themselves, each under an id of its own. Rejects as `sendAll` does when it writes. */
export function createPreparedWriter(
  schema: string,
): (tx: TransactionHandle, messages: readonly PreparedMessage[]) => Promise<void> {
  const statements = statementsFor(schema);
  return async (tx, messages) => {
    if (await writeAll(openTransaction(tx), statements, messages)) noteMessages(tx);
  };
}

/** With one statement, two when some are delayed. Whether there are any for now. */
async function writeAll(
  transaction: OpenTransaction,
  statements: Statements,
  messages: readonly PreparedMessage[],
): Promise<boolean> {
  const now = messages.filter((message) => message.due === undefined);
  const later = messages.filter((message) => message.due !== undefined);
  const batches = [
    { statement: statements.batch, messages: now },
    { statement: statements.later, messages: later },
  ].filter((batch) => batch.messages.length > 0);
  const texts = batches.map((batch) => batchText(batch.messages));
  for (const [index, batch] of batches.entries()) await write(transaction, batch.statement, [texts[index] ?? '']);
  return now.length > 0;
}

/** Array.isArray, which by its own type forgets what readonly arrays hold. */
function isArray(items: readonly OutboxItem[]): boolean {
  return Array.isArray(items);
}

interface Statements {
  readonly one: TransactionalCall;
  readonly batch: TransactionalCall;
  readonly later: TransactionalCall;
}

function statementsFor(schema: string): Statements {
  return {
    one: transactionalCall(schema, 'write_message', ['uuid', 'text', 'text', 'smallint', 'jsonb', 'jsonb']),
    batch: transactionalCall(schema, 'write_outbox', ['text']),
    later: transactionalCall(schema, 'schedule_messages', ['text']),
  };
}

async function write(
  transaction: OpenTransaction,
  call: TransactionalCall,
  parameters: readonly unknown[],
): Promise<void> {
  await callInTransaction(transaction, call, parameters, explainTaken);
}

/** What to say when the server refuses to write messages. Undefined: it is not about something that is there already. */
export function explainTaken(error: unknown): Error | undefined {
  switch (violated(error, ['outbox_id', 'scheduled_message_pkey', 'outbox_pkey'])) {
    case undefined:
      return undefined;
    case 'outbox_pkey':
      return sequenceBehind('The place of the message in the log is taken: its sequence is behind.', { cause: error });
    default:
      return new HoldfastError('HF_MESSAGE_DUPLICATE', 'A message with this id is in the outbox already.', {
        advice: 'Leave out `id` for a new message; roll back, because the transaction is aborted now.',
        cause: error,
      });
  }
}

function refuseTwins(messages: readonly PreparedMessage[]): void {
  const ids = new Set<string>();
  for (const { id } of messages) {
    if (ids.has(id))
      throw new HoldfastError('HF_MESSAGE_DUPLICATE', `Two messages of the batch have the id ${id}.`, {
        advice: 'Leave out `id`.',
      });
    ids.add(id);
  }
}

/** Joined, not serialised again: payload and attributes are JSON texts already. */
function batchText(messages: readonly PreparedMessage[]): string {
  const text = `[${messages.map(messageText).join(',')}]`;
  if (text.length > MAX_BATCH_BYTES) {
    throw new HoldfastError(
      'HF_PAYLOAD_TOO_LARGE',
      `The batch has ${text.length} characters; the limit is ${MAX_BATCH_BYTES}.`,
      { advice: 'Send it in parts.' },
    );
  }
  return text;
}
