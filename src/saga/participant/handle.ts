/**
 * Declaring how a participant answers commands: `handle(ReserveStock, { reply: StockReserved }, async (command, { tx }) => …)`, and
 * how it compensates them.
 */
import type { PoolClient } from 'pg';
import type { HandlerContext } from '../../inbox/handlers/handler.ts';
import type { MessageType, PayloadInput, PayloadOf } from '../../message/message-type.ts';
import type { Duration } from '../../runtime/duration.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import type { RetryOptions } from '../../runtime/retry.ts';
import { badDefinition, isMessage } from '../definition/step-checks.ts';
import type { Trusted } from './on-record.ts';
import type { SagaCall } from '../protocol/wire.ts';

/** What the handler of a command is given, beside the command. See {@link handle}. */
export interface CommandContext<Tx> extends HandlerContext<Tx> {
  /** Whose work it is; null when the message was not sent by a saga: then nobody is answered. */
  readonly saga: SagaCall | null;
  /** The same whenever this piece of work is tried, also when the saga sends it again: pass it on to whatever takes one. */
  readonly idempotencyKey: string;
}

/** What the handler of a compensation is given. See {@link handle}. */
export interface CompensationContext<Tx, Command, Reply> extends CommandContext<Tx> {
  /**
   * The command that is compensated, as this participant recorded it. Null only with `withoutRecord: 'compensate'`: what to compensate must then be told
   * from the payload alone.
   */
  readonly command: Command | null;
  /** What the command was answered with. Null also for commands without a reply. */
  readonly reply: Reply | null;
}

/** What every handler of a participant takes. */
export interface CommonHandlerOptions {
  /**
   * In place, before the message is parked.
   *
   * @defaultValue the participant's
   */
  readonly retry?: RetryOptions | undefined;
  /**
   * Longest run of the handler.
   *
   * @defaultValue the participant's
   */
  readonly timeout?: Duration | undefined;
}

/** Options of {@link handle} for a command with a reply. */
export interface CommandHandlerOptions<Reply extends MessageType> extends CommonHandlerOptions {
  /** What the handler's return value is checked by and sent as. */
  readonly reply: Reply;
  readonly compensates?: undefined;
}

/** Options of {@link handle} for a command without a reply. */
export interface SilentHandlerOptions extends CommonHandlerOptions {
  readonly reply?: undefined;
  readonly compensates?: undefined;
}

/** Options of {@link handle} for a compensation. */
export interface CompensationHandlerOptions<
  Command extends MessageType,
  Reply extends MessageType,
> extends CommonHandlerOptions {
  /** The command that it compensates. */
  readonly compensates: Command;
  /** The reply type of that command, for the type of `reply` in the context. */
  readonly reply?: Reply | undefined;
  /**
   * Names of properties of the payload that the message may say freely, such as a reason or a computed amount; 'all':
   * everything. All other values must be those of the recorded command or its reply, or the compensation is refused.
   *
   * @defaultValue none
   */
  readonly fromMessage?: Trusted | undefined;
  /**
   * What to do with a compensation whose command is not on record, though its headers say that it was done, and with
   * one that comes without the headers of a saga: refuse it, or run the handler with the payload alone.
   *
   * @defaultValue 'refuse'
   */
  readonly withoutRecord?: 'refuse' | 'compensate' | undefined;
}

/** A handler with its types forgotten; made by `handle`. */
export interface ParticipantHandler<Tx> {
  readonly topic: string;
  readonly type: MessageType;
  /** Of a compensation: the reply type of its command, when it names one. */
  readonly reply: MessageType | null;
  readonly compensates: MessageType | null;
  /** Of a compensation. */
  readonly fromMessage: Trusted;
  readonly withoutRecord: 'refuse' | 'compensate';
  readonly options: CommonHandlerOptions;
  readonly run: (payload: unknown, context: CompensationContext<Tx, unknown, unknown>) => unknown;
}

/** What a handler gives back: the payload of its reply. */
export type CommandAnswer<Reply extends MessageType> = PayloadInput<Reply> | Promise<PayloadInput<Reply>>;

/** The type of {@link handle}, for the transactions of a runner. */
export interface Handle<Tx> {
  /** Compensates what a command did. It is run only when there is something to compensate, and once. */
  <Compensating extends MessageType, Command extends MessageType, Reply extends MessageType = MessageType>(
    type: Compensating,
    options: CompensationHandlerOptions<Command, Reply>,
    run: (
      payload: PayloadOf<Compensating>,
      context: CompensationContext<Tx, PayloadOf<Command>, PayloadOf<Reply>>,
    ) => unknown,
  ): ParticipantHandler<Tx>;
  /** Answers a command with what `run` resolves to. */
  <Command extends MessageType, Reply extends MessageType>(
    type: Command,
    options: CommandHandlerOptions<Reply>,
    run: (command: PayloadOf<Command>, context: CommandContext<Tx>) => CommandAnswer<Reply>,
  ): ParticipantHandler<Tx>;
  /** Answers a command with no more than that it is done. */
  <Command extends MessageType>(
    type: Command,
    options: SilentHandlerOptions,
    run: (command: PayloadOf<Command>, context: CommandContext<Tx>) => unknown,
  ): ParticipantHandler<Tx>;
  <Command extends MessageType>(
    type: Command,
    run: (command: PayloadOf<Command>, context: CommandContext<Tx>) => unknown,
  ): ParticipantHandler<Tx>;
}

/**
 * Handles commands of one type in a transaction of node-postgres. Throw `Rejection` for a definite no of the business.
 * For another client or ORM use the argument of `handlers: (handle) => […]`.
 *
 * @throws HoldfastError HF_SAGA_DEFINITION, HF_OPTION_UNKNOWN
 * @example
 * const reserve = handle(ReserveStock, { reply: StockReserved }, () => ({ shelf: 'a' }));
 * const release = handle(ReleaseStock, { compensates: ReserveStock, reply: StockReserved }, async (_message, { tx, command }) => {
 *   await tx.query('UPDATE stock SET held_for = NULL WHERE held_for = $1', [command?.orderId]);
 * });
 */
export const handle = makeHandler as Handle<PoolClient>;

/** `handle` for the transactions of your own runner. */
export function handleFor<Tx>(): Handle<Tx> {
  return makeHandler as Handle<Tx>;
}

interface GivenOptions extends CommonHandlerOptions {
  readonly reply?: unknown;
  readonly compensates?: unknown;
  readonly fromMessage?: unknown;
  readonly withoutRecord?: unknown;
}

function makeHandler(type: MessageType, ...rest: readonly [unknown, unknown?]): ParticipantHandler<never> {
  if (!isMessage(type))
    throw badDefinition('handle', 'is given no message type', "Declare one with message('topic', { schema }).");
  const where = `handle('${type.topic}')`;
  const [options, run] = typeof rest[0] === 'function' ? [{}, rest[0]] : rest;
  if (typeof options !== 'object' || options === null || typeof run !== 'function')
    throw badDefinition(where, 'has no handler', 'Write handle(Type, { reply: Reply }, async (command, { tx }) => …).');
  refuseUnknownOptions(options, ['reply', 'compensates', 'fromMessage', 'withoutRecord', 'retry', 'timeout'], where);
  const { reply, compensates, retry, timeout, ...ofCompensation } = options as GivenOptions;
  for (const [name, given] of Object.entries({ reply, compensates })) {
    if (given !== undefined && !isMessage(given))
      throw badDefinition(
        where,
        `has a ${name} that is no message type`,
        "Declare one with message('topic', { schema }).",
      );
  }
  const { fromMessage = [], withoutRecord = 'refuse' } = ofCompensation;
  if (compensates === undefined && Object.values(ofCompensation).some((given) => given !== undefined))
    throw badDefinition(where, 'has fromMessage or withoutRecord, but no compensates', 'They belong to compensations.');
  if (!isTrusted(fromMessage))
    throw badDefinition(where, 'has a fromMessage that is no list', "Give names of properties: ['reason'], or 'all'.");
  if (withoutRecord !== 'refuse' && withoutRecord !== 'compensate')
    throw badDefinition(where, `has withoutRecord ${JSON.stringify(withoutRecord)}`, "Use 'refuse' or 'compensate'.");
  return {
    topic: type.topic,
    type,
    reply: (reply as MessageType | undefined) ?? null,
    compensates: (compensates as MessageType | undefined) ?? null,
    fromMessage,
    withoutRecord,
    options: { retry, timeout },
    run: run as ParticipantHandler<never>['run'],
  };
}

function isTrusted(value: unknown): value is Trusted {
  return value === 'all' || (Array.isArray(value) && value.every((name) => typeof name === 'string'));
}
