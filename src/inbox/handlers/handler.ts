/**
 * Declares handlers: `on(OrderPlaced, async (order, { tx }) => …)`. createConsumer() takes what `on` returns.
 */
import type { PoolClient } from 'pg';
import { HoldfastError } from '../../errors.ts';
import type { PayloadCodec } from '../../message/codec.ts';
import { decodePayload } from '../../message/decode.ts';
import { openEnvelope } from '../../message/open-envelope.ts';
import type { Envelope } from '../../message/envelope.ts';
import type { MessageType, PayloadInput } from '../../message/message-type.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { resolveRetry, type RetryOptions, type RetryPolicy } from '../../runtime/retry.ts';
import { DEFAULT_RETRY } from './decide.ts';
import type { Recording } from './recording.ts';

/**
 * - `exactly-once` (default): the mark "handled" and everything written through `tx` commit together, so a duplicate has no second
 *   effect. What the handler does elsewhere (HTTP, mail) is done at least once.
 * - `idempotent`: no mark. Duplicates run the handler again; it must not mind.
 * - `window`: duplicates are recognised by a list of recently seen ids, written after success. Cheaper in the database, with a risk
 *   to accept: a crash between effect and mark repeats the effect, two copies at the same moment may both run, and a duplicate
 *   older than the window repeats it.
 * - `at-most-once`: the mark commits BEFORE the handler runs and the handler is never run again. If it fails, or the process dies,
 *   THE MESSAGE IS LOST: logged and counted, not parked.
 */
export type HandlerKind = 'exactly-once' | 'idempotent' | 'window' | 'at-most-once';

/** Options of `send` in a handler; they mean what they mean to the outbox. */
export interface HandlerSendOptions {
  readonly key?: string | null | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly id?: string | undefined;
  readonly deliverAt?: Date | undefined;
  readonly delay?: Duration | undefined;
}

/** What a handler is given, beside the payload. See {@link on}. */
export interface HandlerContext<Tx> {
  /** The transaction that commits when the handler resolves. Do not end it yourself, and use it no longer than the handler runs. */
  readonly tx: Tx;
  readonly message: Envelope;
  /** Aborts when the handler's time is up, when the broker took the message away, or when the consumer is stopped hard. */
  readonly signal: AbortSignal;
  /** From 1 on, in this process and delivery; of a parked message all attempts so far are counted. */
  readonly attempt: number;
  /**
   * Writes a message to the outbox in `tx`, with this message as its cause (correlation, causation, trace).
   * Rejects with HF_CONFIG when the consumer was given no `outbox`.
   */
  readonly send: <Type extends MessageType>(
    type: Type,
    payload: PayloadInput<Type>,
    options?: HandlerSendOptions,
  ) => Promise<{ readonly id: string }>;
}

/** Options of {@link on}. */
export interface HandlerOptions {
  /** @defaultValue 'exactly-once' */
  readonly kind?: HandlerKind | undefined;
  /**
   * In place, before the message is parked.
   *
   * @defaultValue the consumer's
   */
  readonly retry?: RetryOptions | undefined;
  /**
   * Longest run of the handler.
   *
   * @defaultValue the consumer's
   */
  readonly timeout?: Duration | undefined;
}

/** A handler with its message type forgotten; made by `on`. */
export interface Handler<Tx> {
  readonly topic: string;
  readonly kind: HandlerKind;
  readonly options: HandlerOptions;
  /** `wire`: what the envelope was read from; it has numbers that `data` has lost. */
  decode(envelope: Envelope, wire: unknown): Promise<unknown>;
  run(payload: unknown, context: HandlerContext<Tx>): unknown;
}

/** The type of {@link on}, for the transactions of a runner. */
export type On<Tx> = <Output>(
  type: MessageType<string, unknown, Output>,
  handle: (payload: Output, context: HandlerContext<Tx>) => unknown,
  options?: HandlerOptions,
) => Handler<Tx>;

/** Whether the inbox has a mark for each message that a handler of this kind has handled. */
export function keepsMarks({ kind }: { readonly kind: HandlerKind }): boolean {
  return kind === 'exactly-once' || kind === 'at-most-once';
}

const KINDS: readonly HandlerKind[] = ['exactly-once', 'idempotent', 'window', 'at-most-once'];

/**
 * Handles messages of one type in a transaction of node-postgres. For another client or ORM use `handlersFor`.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN
 * @example
 * const handler = on(
 *   OrderPlaced,
 *   async (order, { tx, message }) => {
 *     await tx.query('INSERT INTO invoice (id, order_id) VALUES ($1, $2)', [message.id, order.orderId]);
 *   },
 *   { timeout: '10s' },
 * );
 */
export const on: On<PoolClient> = makeHandler;

/**
 * `on` for the transactions of your own runner: `const on = handlersFor<Transaction<DB>>()`.
 *
 * @example
 * interface MyTransaction {
 *   insert(table: string, row: object): Promise<void>;
 * }
 * const on = handlersFor<MyTransaction>();
 * const handler = on(OrderPlaced, (order, { tx }) => tx.insert('invoice', { orderId: order.orderId }));
 */
export function handlersFor<Tx>(): On<Tx> {
  return makeHandler;
}

function makeHandler<Output, Tx>(
  type: MessageType<string, unknown, Output>,
  handle: (payload: Output, context: HandlerContext<Tx>) => unknown,
  options: HandlerOptions = {},
): Handler<Tx> {
  const where = `on('${type.topic}')`;
  refuseUnknownOptions(options, ['kind', 'retry', 'timeout'], where);
  const { kind = 'exactly-once' } = options;
  if (!KINDS.includes(kind))
    throw new HoldfastError('HF_CONFIG', `${where}: kind is ${JSON.stringify(kind)}.`, {
      advice: `Use one of ${KINDS.join(', ')}.`,
    });
  if (typeof handle !== 'function')
    throw new HoldfastError('HF_CONFIG', `${where}: the handler is not a function.`, {
      advice: 'Write on(Type, async (payload, { tx }) => …).',
    });
  return {
    topic: type.topic,
    kind,
    options,
    decode: (envelope, wire) => decodePayload(type, envelope, wire),
    run: (payload, context) => handle(payload as Output, context),
  };
}

/** A handler that keeps records; its own `run` is not called, but that of the recording. */
export interface RecordingHandler<Tx> extends Handler<Tx> {
  readonly kind: 'exactly-once';
  readonly recording: Recording<HandlerContext<Tx>>;
}

/** A handler with the consumer's defaults filled in. */
export interface ResolvedHandler<Tx> extends Handler<Tx> {
  readonly retry: RetryPolicy;
  readonly timeoutMs: number;
  /** null for handlers of users. */
  readonly recording: Recording<HandlerContext<Tx>> | null;
}

/**
 * Handlers by topic.
 * @throws HoldfastError HF_CONFIG for two handlers of one topic, HF_DURATION, HF_OPTION_UNKNOWN
 */
export function resolveHandlers<Tx>(
  handlers: readonly Handler<Tx>[],
  defaults: {
    readonly retry: RetryOptions | undefined;
    readonly timeout: Duration;
    readonly where: string;
    readonly codec: PayloadCodec | null;
  },
): ReadonlyMap<string, ResolvedHandler<Tx>> {
  const resolved = new Map<string, ResolvedHandler<Tx>>();
  const consumerRetry = resolveRetry(defaults.retry, DEFAULT_RETRY, `${defaults.where}.retry`);
  for (const handler of handlers) {
    const where = `${defaults.where}.on('${handler.topic}')`;
    if (resolved.has(handler.topic)) {
      throw new HoldfastError('HF_CONFIG', `${defaults.where} has two handlers for ${handler.topic}.`, {
        advice: 'Make one of them a consumer of its own; each keeps its own inbox.',
      });
    }
    const retry = resolveRetry(handler.options.retry, consumerRetry, `${where}.retry`);
    resolved.set(handler.topic, {
      ...opening(handler, defaults.codec),
      retry,
      timeoutMs: parseDuration(handler.options.timeout ?? defaults.timeout, `${where}.timeout`),
      recording: (handler as Partial<RecordingHandler<Tx>>).recording ?? null,
    });
  }
  return resolved;
}

/** A handler that reads what the codec opens. */
export function opening<Tx>(handler: Handler<Tx>, codec: PayloadCodec | null): Handler<Tx> {
  if (codec === null) return handler;
  return {
    ...handler,
    async decode(given, givenWire) {
      const { envelope, wire } = openEnvelope(codec, given, givenWire);
      return handler.decode(envelope, wire);
    },
  };
}

/** Why a message waits, for those who look at what is parked. */
export function noHandler(consumer: string, topic: string): HoldfastError {
  return new HoldfastError(
    'HF_NO_HANDLER',
    `No process of consumer ${consumer} that was asked has a handler for ${topic}.`,
    {
      advice:
        'It is handled as soon as one has. Else narrow the route, name the topic in `ignore`, or discard the message.',
    },
  );
}
