/**
 * The writer: puts messages into the outbox inside the caller's transaction. They travel if, and only if, it commits.
 * The public door for services; consumers and sagas send through it as well.
 */

import { HoldfastError } from '../errors.ts';
import type { MessageType, PayloadInput } from '../message/message-type.ts';
import { openTransaction, type OpenTransaction, type TransactionHandle } from '../postgres/executor.ts';
import { assertSchemaName, DEFAULT_SCHEMA, quoteIdentifier } from '../postgres/quoting.ts';
import { classifySqlError, sqlStateOf, translateSqlError } from '../postgres/sql-state.ts';
import { refuseUnknownOptions } from '../runtime/options.ts';
import { DEFAULT_MAX_BYTES, prepareMessage, type PreparedMessage } from './prepare.ts';
import { checkSendOptions, type SendOptions } from './send-options.ts';

export interface OutboxOptions {
  /** Schema of the Holdfast tables; default 'holdfast'. */
  readonly schema?: string | undefined;
  /** Who sends, the CloudEvents source: by convention the service's name. Default: what the relay is configured with. */
  readonly source?: string | undefined;
  /** Most UTF-8 bytes of one payload as JSON; default 1 MiB. */
  readonly maxBytes?: number | undefined;
}

/** One message of a batch. Make it with `item()`, which checks the payload against the type. */
export interface OutboxItem {
  readonly type: MessageType;
  readonly payload: unknown;
  readonly options?: SendOptions | undefined;
}

export interface SentMessage {
  /** The message id, a UUID. */
  readonly id: string;
}

/**
 * Everything is checked before anything is written: errors are HF_PAYLOAD_INVALID, HF_PAYLOAD_NOT_JSON, HF_PAYLOAD_TEXT,
 * HF_PAYLOAD_TOO_LARGE, HF_KEY_EMPTY, HF_OPTION_UNKNOWN, HF_CONFIG, HF_DURATION, HF_TX_UNSUPPORTED, HF_NOT_IN_TRANSACTION.
 * The statement itself may fail with HF_MESSAGE_DUPLICATE, HF_SCHEMA_MISSING, HF_PERMISSION, HF_DATABASE_READ_ONLY,
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

/** A message for sendAll, its payload checked against the type by the compiler. */
export function item<Type extends MessageType>(
  type: Type,
  payload: PayloadInput<Type>,
  options?: SendOptions,
): OutboxItem {
  return { type, payload, options };
}

/** Opens no connection. Throws HF_CONFIG and HF_OPTION_UNKNOWN on bad options. */
export function createOutbox(options: OutboxOptions = {}): Outbox {
  refuseUnknownOptions(options, ['schema', 'source', 'maxBytes'], 'createOutbox');
  const { source, maxBytes = DEFAULT_MAX_BYTES } = options;
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
    prepareMessage(each, { source, maxBytes, where });

  return {
    async send(tx, type, payload, sendOptions = {}) {
      const transaction = openTransaction(tx);
      transaction.showsTransaction();
      const message = await prepare({ type, payload, options: sendOptions }, 'outbox.send');
      if (message.due === undefined) {
        const { id, topic, key, lane, payload: text, attributes } = message;
        await write(transaction, statements.one, [id, topic, key, String(lane), text, attributes]);
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
      const now = messages.filter((message) => message.due === undefined);
      const later = messages.filter((message) => message.due !== undefined);
      const batches = [
        { statement: statements.batch, messages: now },
        { statement: statements.later, messages: later },
      ].filter((batch) => batch.messages.length > 0);
      const texts = batches.map((batch) => batchText(batch.messages));
      for (const [index, batch] of batches.entries()) await write(transaction, batch.statement, [texts[index] ?? '']);
      return messages.map(({ id }) => ({ id }));
    },
  };
}

/** Array.isArray, which by its own type forgets what readonly arrays hold. */
function isArray(items: readonly OutboxItem[]): boolean {
  return Array.isArray(items);
}

/** The same statement in two forms: for a handle that shows an open transaction, and for asking the database. */
interface Statement {
  readonly shown: string;
  readonly asking: string;
}

function statementsFor(schema: string): {
  readonly one: Statement;
  readonly batch: Statement;
  readonly later: Statement;
} {
  const call = (name: string, parameters: string): string =>
    `SELECT ${quoteIdentifier(schema)}.${name}(${parameters}) AS written`;
  return {
    one: {
      // Only node-postgres shows its transactions, and it leaves the types of parameters to the server: no casts to plan.
      shown: call('write_message', '$1, $2, $3, $4, $5, $6, false'),
      // Here every parameter is a text, cast in the statement: drivers and ORMs differ in what they make of anything else.
      asking: call(
        'write_message',
        '$1::text::uuid, $2::text, $3::text, $4::text::smallint, $5::text::jsonb, $6::text::jsonb, true',
      ),
    },
    batch: { shown: call('write_outbox', '$1, false'), asking: call('write_outbox', '$1::text, true') },
    later: { shown: call('schedule_messages', '$1, false'), asking: call('schedule_messages', '$1::text, true') },
  };
}

async function write(
  transaction: OpenTransaction,
  statement: Statement,
  parameters: readonly unknown[],
): Promise<void> {
  try {
    // Asked again just before the statement: validation may have taken a while.
    if (transaction.showsTransaction()) {
      await transaction.execute(statement.shown, parameters);
      return;
    }
    // See write_message in migrations/0001_outbox.sql: `false` twice means that each call was a transaction of its own.
    for (let call = 1; call <= 2; call++) {
      const [row] = await transaction.execute(statement.asking, parameters);
      if (row?.['written'] === true) return;
      if (row?.['written'] !== false) {
        throw new HoldfastError('HF_TX_UNSUPPORTED', 'The executor did not return the row of its statement.', {
          advice: 'It must resolve with the rows, as an array of objects: [{ written: true }].',
        });
      }
    }
  } catch (error) {
    throw explain(error);
  }
  throw new HoldfastError('HF_NOT_IN_TRANSACTION', 'The handle runs each statement in a transaction of its own.', {
    advice: 'Open a transaction and pass its handle, so that the message commits together with your change.',
  });
}

function explain(error: unknown): Error {
  if (sqlStateOf(error) === '23505') {
    return new HoldfastError('HF_MESSAGE_DUPLICATE', 'A message with this id is in the outbox already.', {
      advice: 'Leave out `id` for a new message; roll back, because the transaction is aborted now.',
      cause: error,
    });
  }
  if (sqlStateOf(error) === '25P02') {
    return new HoldfastError(
      'HF_NOT_IN_TRANSACTION',
      'The transaction is aborted: a statement in it has failed, and it can only be rolled back.',
      {
        advice: 'Roll back, or use a savepoint around statements that may fail.',
        cause: error,
      },
    );
  }
  const translated = translateSqlError(error);
  // Kysely refuses by itself what has ended, with a plain Error.
  if (
    classifySqlError(error) === 'other' &&
    /^Transaction is already (committed|rolled back)$/.test(translated.message)
  ) {
    return new HoldfastError('HF_NOT_IN_TRANSACTION', `${translated.message}.`, {
      advice: 'Send before you end the transaction.',
      cause: error,
    });
  }
  return translated;
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

function messageText({ id, topic, key, lane, payload, attributes, due }: PreparedMessage): string {
  const fields = JSON.stringify({ id, topic, key, lane, ...due });
  return `${fields.slice(0, -1)},"payload":${payload},"headers":${attributes}}`;
}
