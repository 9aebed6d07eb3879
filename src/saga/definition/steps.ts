/**
 * The kinds of steps a saga is declared with, and what each can do and compensate. `step`, `transaction`, `command`, `emit` and `child` are
 * for users; the interfaces with their types forgotten (`StepDefinition`) are for the engine.
 */
import type { JsonOnly } from './json-only.ts';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { PoolClient } from 'pg';
import type { MessageType, PayloadInput, PayloadOf } from '../../message/message-type.ts';
import type { Duration } from '../../runtime/duration.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { resolveRetry, type RetryOptions, type RetryPolicy } from '../../runtime/retry.ts';
import {
  attemptTimeout,
  checkBreaker,
  checkPivot,
  checkCompensation,
  isMessage,
  needsFunction,
  needsMessage,
  needsOptions,
  optionalFunction,
  positiveDuration,
  refuseOnEmit,
  refuseUndefined,
  badDefinition,
} from './step-checks.ts';

/** What every attempt of a step, and of a compensation, is given. */
export interface StepContext {
  /** The same at every attempt of this call, and at no other: pass it on to whatever takes one. */
  readonly idempotencyKey: string;
  /** Aborts when the time is up, when the run is being compensated, or when the worker must let go. */
  readonly signal: AbortSignal;
  /** From 1 on, over the whole life of the run. */
  readonly attempt: number;
  readonly runId: string;
  /** Grows each time a worker takes up the run: a store that compares it can refuse what a worker sends that has been replaced. */
  readonly fencingToken: number;
}

export interface TransactionContext extends StepContext {
  /** Commits together with the step's outcome. Do not end it yourself, and use it no longer than the step runs. */
  readonly tx: PoolClient;
}

/**
 * What a compensation is told. In doubt (`unknown`), it must bear that the step never happened. `key` is the idempotency key that the
 * step itself was called with, to find by it what there is to compensate.
 */
export type CompensatedCall<Input, Output> =
  | { readonly input: Input; readonly outcome: 'done'; readonly output: Output; readonly key: string }
  | { readonly input: Input; readonly outcome: 'unknown'; readonly output: undefined; readonly key: string };

/** What `verify` found out. */
export type Verified<Output> = { readonly happened: true; readonly output: Output } | { readonly happened: false };

export interface CompensationOptions {
  /** Default 20 attempts, base 500 ms, cap 1 m, within 1 h; then the run is stuck. */
  readonly retry?: RetryOptions | undefined;
  /** Of one attempt. Default: the step's. */
  readonly timeout?: Duration | undefined;
}

interface CommonOptions {
  /**
   * Default 5 attempts, base 200 ms, cap 10 s, within 1 m. Behind a pivot there is no cap but of the wait. What the infrastructure cuts
   * short (a worker that dies or stops, a transaction that the database rolls back by itself) uses up neither attempts nor time.
   */
  readonly retry?: RetryOptions | undefined;
  /** Of one attempt; default '30s'. After it the attempt's outcome is unknown. */
  readonly timeout?: Duration | undefined;
  /** Once it is done, the run only goes forward. Default false. */
  readonly pivot?: boolean | undefined;
  readonly compensation?: CompensationOptions | undefined;
}

interface AttemptedOptions extends CommonOptions {
  /**
   * From the call on, with all attempts, waits, and times in which no worker was there. Then the step gives up, also behind a pivot:
   * what is under way is aborted, and in doubt. Default: none; `retry.within` counts only the time in which somebody ran the step.
   */
  readonly deadline?: Duration | undefined;
}

export interface StepOptions<Input, Output> extends AttemptedOptions {
  /**
   * Done at least once: a crash, a timeout or a lost connection leads to another attempt with the same key. Throw PermanentError or
   * Rejection when it has not happened and never will; every other error leaves open whether it has.
   */
  readonly run: (input: Input, context: StepContext) => Output | Promise<Output>;
  readonly compensate?: ((compensation: CompensatedCall<Input, Output>, context: StepContext) => unknown) | undefined;
  /** Asks the other side about a step in doubt, before it is compensated. */
  readonly verify?: ((input: Input, context: StepContext) => Verified<Output> | Promise<Verified<Output>>) | undefined;
  /** Stands in when the step gives up, for what may degrade; recorded as such. */
  readonly fallback?: ((input: Input, error: Error) => Output | Promise<Output>) | undefined;
  /** Steps of this name share a circuit breaker in each worker; while it is open no attempts are burnt. */
  readonly breaker?: string | undefined;
}

export interface TransactionOptions<Input, Output> extends AttemptedOptions {
  /** Its writes through `tx`, its messages and its outcome commit together: exactly once. */
  readonly run: (input: Input, context: TransactionContext) => Output | Promise<Output>;
  /** In a transaction as well, together with the record that it is done. */
  readonly compensate?:
    | ((compensation: CompensatedCall<Input, Output>, context: TransactionContext) => unknown)
    | undefined;
  readonly fallback?: ((input: Input, error: Error) => Output | Promise<Output>) | undefined;
}

export interface CommandOptions<
  Command extends MessageType,
  Reply extends MessageType,
  Compensating extends MessageType,
> extends CommonOptions {
  /** What the participant answers with. Without it the answer is only that it is done. */
  readonly reply?: Reply | undefined;
  /** The message that compensates it; answered like the command. */
  readonly compensate?: CompensatingMessage<PayloadInput<Command>, PayloadOf<Reply>, Compensating> | undefined;
  readonly fallback?:
    | ((input: PayloadInput<Command>, error: Error) => PayloadOf<Reply> | Promise<PayloadOf<Reply>>)
    | undefined;
}

/** A message type that takes the payload of what it compensates, or one with a payload of its own. */
export type CompensatingMessage<Input, Output, Compensating extends MessageType> =
  | MessageType<string, Input>
  | {
      readonly message: Compensating;
      readonly payload: (compensation: CompensatedCall<Input, Output>) => PayloadInput<Compensating>;
    };

export interface EmitOptions<Type extends MessageType, Compensating extends MessageType> {
  /** A message that takes the first one back, for those who heard it. */
  readonly compensate?: CompensatingMessage<PayloadInput<Type>, void, Compensating> | undefined;
}

export interface ChildOptions extends Pick<CommonOptions, 'pivot'> {
  /** Until when the child must be done; then it is compensated and the call fails. Default: none. */
  readonly timeout?: Duration | undefined;
}

/** A declared step. `~types` exists for the compiler alone. */
export type Step<Input, Output> = StepDefinition & {
  readonly '~types'?: { readonly input: (input: Input) => void; readonly output: Output } | undefined;
};

/** With its types forgotten; what the engine works with. */
export type StepDefinition = LocalStep | TransactionStep | CommandStep | EmitStep | ChildStep;

interface Common {
  readonly pivot: boolean;
  readonly retry: RetryPolicy;
  readonly timeoutMs: number;
  /** Of a step as a whole; Infinity: none. */
  readonly deadlineMs: number;
  readonly compensation: { readonly retry: RetryPolicy; readonly timeoutMs: number };
}

export interface LocalStep extends Common {
  readonly kind: 'step';
  readonly run: (input: unknown, context: StepContext) => unknown;
  readonly compensate: ((compensation: CompensatedCall<unknown, unknown>, context: StepContext) => unknown) | null;
  readonly verify: ((input: unknown, context: StepContext) => unknown) | null;
  readonly fallback: Fallback | null;
  readonly breaker: string | null;
}

export interface TransactionStep extends Common {
  readonly kind: 'transaction';
  readonly run: (input: unknown, context: TransactionContext) => unknown;
  readonly compensate:
    | ((compensation: CompensatedCall<unknown, unknown>, context: TransactionContext) => unknown)
    | null;
  readonly fallback: Fallback | null;
}

/** A compensating message with its types forgotten. */
export interface CompensationMessage {
  readonly message: MessageType;
  readonly payload: (compensation: CompensatedCall<unknown, unknown>) => unknown;
}

export interface CommandStep extends Common {
  readonly kind: 'command';
  readonly command: MessageType;
  readonly reply: MessageType | null;
  readonly compensate: CompensationMessage | null;
  readonly fallback: Fallback | null;
}

export interface EmitStep extends Common {
  readonly kind: 'emit';
  readonly message: MessageType;
  readonly compensate: CompensationMessage | null;
}

/** `saga` is a Saga (definition.ts), named here by its shape because definitions import steps. */
export interface ChildStep extends Common {
  readonly kind: 'child';
  readonly saga: Omit<ChildSaga<never, unknown>, '~types'>;
}

export type Fallback = (input: unknown, error: Error) => unknown;

/** Default retry of steps and commands. */
export const DEFAULT_STEP_RETRY: RetryPolicy = { attempts: 5, baseMs: 200, capMs: 10_000, factor: 2, withinMs: 60_000 };
/** A command that gets no reply is sent again; the participant recognises it. */
export const DEFAULT_COMMAND_RETRY: RetryPolicy = { attempts: 3, baseMs: 0, capMs: 0, factor: 2, withinMs: 600_000 };
/** Default retry of compensations: patient, because behind it stands a person. */
export const DEFAULT_COMPENSATION_RETRY: RetryPolicy = {
  attempts: 20,
  baseMs: 500,
  capMs: 60_000,
  factor: 2,
  withinMs: 3_600_000,
};

const COMMON = ['retry', 'timeout', 'pivot', 'compensation'] as const;
const DEFAULT_TIMEOUT: Duration = '30s';

/**
 * A step in this process: an HTTP call, a mail, whatever is no transaction here.
 * @throws HoldfastError HF_SAGA_DEFINITION, HF_OPTION_UNKNOWN, HF_DURATION, HF_CONFIG, as all the kinds of steps
 */
export function step<Input, Output>(options: StepOptions<Input, Output> & JsonOnly<Output>): Step<Input, Output> {
  needsOptions(options, 'step', 'step({ run: async (input) => … })');
  refuseUnknownOptions(options, ['run', 'compensate', 'verify', 'fallback', 'breaker', 'deadline', ...COMMON], 'step');
  needsFunction(options.run, 'step', 'run');
  refuseUndefined(options, ['compensate', 'verify', 'fallback'], 'step');
  const definition: LocalStep = {
    kind: 'step',
    ...common(options, 'step', DEFAULT_STEP_RETRY, attemptTimeout),
    run: options.run as LocalStep['run'],
    compensate: optionalFunction(options.compensate, 'step', 'compensate') as LocalStep['compensate'],
    verify: optionalFunction(options.verify, 'step', 'verify') as LocalStep['verify'],
    fallback: optionalFunction(options.fallback, 'step', 'fallback') as Fallback | null,
    breaker: checkBreaker(options.breaker, 'step'),
  };
  return definition;
}

/** A step whose effect is in the saga's own database: exactly once. */
export function transaction<Input, Output>(
  options: TransactionOptions<Input, Output> & JsonOnly<Output>,
): Step<Input, Output> {
  needsOptions(options, 'transaction', 'transaction({ run: async (input, { tx }) => … })');
  refuseUnknownOptions(options, ['run', 'compensate', 'fallback', 'deadline', ...COMMON], 'transaction');
  needsFunction(options.run, 'transaction', 'run');
  refuseUndefined(options, ['compensate', 'fallback'], 'transaction');
  const definition: TransactionStep = {
    kind: 'transaction',
    ...common(options, 'transaction', DEFAULT_STEP_RETRY, attemptTimeout),
    run: options.run as TransactionStep['run'],
    compensate: optionalFunction(options.compensate, 'transaction', 'compensate') as TransactionStep['compensate'],
    fallback: optionalFunction(options.fallback, 'transaction', 'fallback') as Fallback | null,
  };
  return definition;
}

/** A message to a participant, and a durable wait for its answer. */
export function command<
  Command extends MessageType,
  Reply extends MessageType = MessageType<string, unknown, void>,
  Compensating extends MessageType = MessageType,
>(
  message: Command,
  options: CommandOptions<Command, Reply, Compensating> = {},
): Step<PayloadInput<Command>, PayloadOf<Reply>> {
  const where = needsMessage(message, 'command');
  needsOptions(options, where, `command(${message.topic}, { reply: …, compensate: … })`);
  refuseUnknownOptions(options, ['reply', 'compensate', 'fallback', ...COMMON], where);
  refuseUndefined(options, ['reply', 'compensate', 'fallback'], where);
  if (options.reply !== undefined) needsMessage(options.reply, `${where}.reply`);
  const definition: CommandStep = {
    kind: 'command',
    ...common(options, where, DEFAULT_COMMAND_RETRY, positiveDuration),
    command: message,
    reply: options.reply ?? null,
    compensate: compensatingMessage(message, options.compensate, where),
    fallback: optionalFunction(options.fallback, where, 'fallback') as Fallback | null,
  };
  return definition;
}

/** A message that nobody answers. It leaves in the commit that records it. */
export function emit<Type extends MessageType, Compensating extends MessageType = MessageType>(
  message: Type,
  options: EmitOptions<Type, Compensating> = {},
): Step<PayloadInput<Type>, void> {
  const where = needsMessage(message, 'emit');
  needsOptions(options, where, `emit(${message.topic}, { compensate: … })`);
  refuseOnEmit(options, where);
  refuseUnknownOptions(options, ['compensate'], where);
  refuseUndefined(options, ['compensate'], where);
  const definition: EmitStep = {
    kind: 'emit',
    ...common({}, where, DEFAULT_STEP_RETRY, positiveDuration),
    message,
    compensate: compensatingMessage(message, options.compensate, where),
  };
  return definition;
}

/** A saga as it is seen from another one. */
export interface ChildSaga<Input, Result> {
  readonly name: string;
  readonly version: number;
  readonly input: StandardSchemaV1;
  readonly deadlineMs: number | null;
  readonly '~types'?: { readonly input: (input: Input) => void; readonly result: Result } | undefined;
}

/**
 * Another saga as a step. Done when the child is done; the child then waits, undoable, until the parent has ended. When the parent
 * is compensated, so is the child.
 */
export function child<Input, Result>(saga: ChildSaga<Input, Result>, options: ChildOptions = {}): Step<Input, Result> {
  if (typeof saga === 'function')
    throw badDefinition('child', 'is given a function', 'If it makes a saga, call it: child(bookHotel(…)).');
  if (typeof saga?.name !== 'string' || typeof saga.version !== 'number')
    throw badDefinition('child', 'is given no saga', 'Write child(bookHotel), with what saga({ … }) returned.');
  const where = `child('${saga.name}')`;
  needsOptions(options, where, 'child(bookHotel, { timeout: … })');
  refuseUnknownOptions(options, ['pivot', 'timeout'], where);
  const { timeout, ...rest } = options;
  const settled = common(rest, where, DEFAULT_STEP_RETRY, positiveDuration);
  const definition: ChildStep = {
    kind: 'child',
    ...settled,
    timeoutMs: timeout === undefined ? Infinity : positiveDuration(timeout, 'timeout', where),
    // Compensating it takes as long as its own compensations take.
    compensation: { ...settled.compensation, timeoutMs: Infinity },
    saga,
  };
  return definition;
}

function common(
  options: AttemptedOptions & { readonly compensate?: unknown; readonly verify?: unknown; readonly fallback?: unknown },
  where: string,
  preset: RetryPolicy,
  durationOf: typeof attemptTimeout,
): Common {
  const pivot = checkPivot(options, where);
  const compensation = options.compensation ?? {};
  needsOptions(compensation, `${where}.compensation`, 'compensation: { retry: …, timeout: … }');
  refuseUnknownOptions(compensation, ['retry', 'timeout'], `${where}.compensation`);
  checkCompensation(options, where);
  const timeoutMs = durationOf(options.timeout ?? DEFAULT_TIMEOUT, 'timeout', where);
  return {
    pivot,
    retry: resolveRetry(options.retry, preset, `${where}.retry`),
    timeoutMs,
    deadlineMs: options.deadline === undefined ? Infinity : positiveDuration(options.deadline, 'deadline', where),
    compensation: {
      retry: resolveRetry(compensation.retry, DEFAULT_COMPENSATION_RETRY, `${where}.compensation.retry`),
      timeoutMs:
        compensation.timeout === undefined
          ? timeoutMs
          : durationOf(compensation.timeout, 'timeout', `${where}.compensation`),
    },
  };
}

function compensatingMessage(compensated: MessageType, given: unknown, where: string): CompensationMessage | null {
  if (given === undefined) return null;
  const made = isMessage(given)
    ? { message: given, payload: ({ input }: CompensatedCall<unknown, unknown>) => input }
    : (given as CompensationMessage);
  if (!isMessage(made?.message) || typeof made.payload !== 'function')
    throw badDefinition(
      where,
      'has a compensate that is no message',
      'Give a message type, or { message: Type, payload: ({ input, output }) => … }.',
    );
  if (made.message.topic === compensated.topic)
    throw badDefinition(
      where,
      'is compensated by itself: it would be done again',
      'Give the message that takes it back.',
    );
  return made;
}
