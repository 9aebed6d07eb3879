/**
 * What all kinds of steps have in common: what users give and are given, and a declared step with its types forgotten. What one kind adds
 * stands in its file in saga/kinds.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { PoolClient } from 'pg';
import type { MessageType, PayloadInput } from '../../message/message-type.ts';
import type { Duration } from '../../runtime/duration.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { resolveRetry, type RetryOptions, type RetryPolicy } from '../../runtime/retry.ts';
import type { StepKind } from './kind-names.ts';
import {
  badDefinition,
  checkCompensation,
  checkPivot,
  isMessage,
  needsOptions,
  positiveDuration,
  type attemptTimeout,
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

/** What the code of a {@link transaction} is given. */
export interface TransactionContext<Tx = PoolClient> extends StepContext {
  /** Commits together with the step's outcome. Do not end it yourself, and use it no longer than the step runs. */
  readonly tx: Tx;
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

/** How a compensation is attempted. */
export interface CompensationOptions {
  /**
   * Then the run is stuck.
   *
   * @defaultValue 20 attempts, base 500 ms, cap 1 m, within 1 h
   */
  readonly retry?: RetryOptions | undefined;
  /**
   * Of one attempt.
   *
   * @defaultValue the step's
   */
  readonly timeout?: Duration | undefined;
}

/** What every kind of step takes that is carried out. */
export interface CommonStepOptions {
  /**
   * Behind a pivot there is no cap but of the wait. What the infrastructure cuts short (a worker that dies or stops, a
   * transaction that the database rolls back by itself) uses up neither attempts nor time.
   *
   * @defaultValue 5 attempts, base 200 ms, cap 10 s, within 1 m
   */
  readonly retry?: RetryOptions | undefined;
  /**
   * Of one attempt. After it the attempt's outcome is unknown.
   *
   * @defaultValue '30s'
   */
  readonly timeout?: Duration | undefined;
  /**
   * Once it is done, the run only goes forward.
   *
   * @defaultValue false
   */
  readonly pivot?: boolean | undefined;
  readonly compensation?: CompensationOptions | undefined;
}

/** What steps take that are attempted in this process. */
export interface AttemptedStepOptions extends CommonStepOptions {
  /**
   * From the call on, with all attempts, waits, and times in which no worker was there. Then the step gives up, also
   * behind a pivot: what is under way is aborted, and in doubt. `retry.within` counts only the time in which somebody
   * ran the step.
   *
   * @defaultValue none
   */
  readonly deadline?: Duration | undefined;
}

/** A message type that takes the payload of what it compensates, or one with a payload of its own. */
export type CompensatingMessage<Input, Output, Compensating extends MessageType> =
  | MessageType<string, Input>
  | {
      readonly message: Compensating;
      readonly payload: (compensation: CompensatedCall<Input, Output>) => PayloadInput<Compensating>;
    };

/** A declared step. `~types` exists for the compiler alone. */
export type Step<Input, Output> = StepDefinition & {
  readonly '~types'?: { readonly input: (input: Input) => void; readonly output: Output } | undefined;
};

/** A compensating message with its types forgotten. */
export interface CompensationMessage {
  readonly message: MessageType;
  readonly payload: (compensation: CompensatedCall<unknown, unknown>) => unknown;
}

/** A saga that a step starts (a Saga of definition.ts, named here by its shape because definitions import steps). */
export type StartedSaga = Omit<ChildSaga<never, unknown>, '~types'>;

/** A declared step with its types forgotten, whatever its kind: what the engine works with. */
export interface StepDefinition {
  readonly kind: StepKind;
  readonly pivot: boolean;
  readonly retry: RetryPolicy;
  readonly timeoutMs: number;
  /** Of a step as a whole; Infinity: none. */
  readonly deadlineMs: number;
  readonly compensation: { readonly retry: RetryPolicy; readonly timeoutMs: number };
  /** What compensates it, in a form of its kind; null: nothing does. */
  readonly compensate: unknown;
  readonly verify: ((input: unknown, context: StepContext) => unknown) | null;
  readonly fallback: Fallback | null;
  /** The type of the message that its input is, and of the one that its output is; null: it is none. */
  readonly inputType: MessageType | null;
  readonly outputType: MessageType | null;
  /** The saga that it starts; null: none. */
  readonly saga: StartedSaga | null;
}

/** Whether anything compensates the step. */
export function canCompensate({ compensate }: StepDefinition): boolean {
  return compensate !== null;
}

/** Stands in for a step that gave up. */
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

/** The options of most kinds. */
export const COMMON_OPTIONS = ['retry', 'timeout', 'pivot', 'compensation'] as const;
const DEFAULT_TIMEOUT: Duration = '30s';

/** A saga as it is seen from another one. */
export interface ChildSaga<Input, Result> {
  readonly name: string;
  readonly version: number;
  readonly input: StandardSchemaV1;
  readonly deadlineMs: number | null;
  readonly '~types'?: { readonly input: (input: Input) => void; readonly result: Result } | undefined;
}

interface CommonInput extends AttemptedStepOptions {
  readonly compensate?: unknown;
  readonly verify?: unknown;
  readonly fallback?: unknown;
}

type Common = Omit<StepDefinition, 'kind' | 'compensate'>;

/**
 * What is the same for all kinds, checked; `preset`: where nothing is said of retries.
 * @throws HoldfastError HF_SAGA_DEFINITION, HF_OPTION_UNKNOWN, HF_DURATION, HF_CONFIG
 */
export function commonOf(
  options: CommonInput,
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
    verify: null,
    fallback: null,
    inputType: null,
    outputType: null,
    saga: null,
  };
}

/** The message that compensates another one, as it was given; null: none was. */
export function compensatingMessage(
  compensated: MessageType,
  given: unknown,
  where: string,
): CompensationMessage | null {
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
