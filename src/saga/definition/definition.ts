/**
 * `saga({ … })`: a declared flow. Everything it can do and compensate is known before it runs. The public door for those who write sagas;
 * the engine takes what it returns.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { HoldfastError } from '../../errors.ts';
import { didYouMean, refuseUnknownOptions } from '../../runtime/options.ts';
import type { Duration } from '../../runtime/duration.ts';
import { checkErrorLists, type ErrorLists } from './bugs.ts';
import {
  checkConcurrency,
  checkName,
  checkRunFunction,
  checkSagaList,
  checkSchema,
  checkSignals,
  checkSteps,
  checkVersion,
} from './saga-checks.ts';
import { needsOptions, positiveDuration, badDefinition } from './step-checks.ts';
import type { ChildSaga, Step, StepDefinition } from './steps.ts';

/** Steps by name. */
export type Steps = Readonly<Record<string, StepDefinition>>;
/** Schemas of signals by name. */
export type Signals = Readonly<Record<string, StandardSchemaV1>>;

/** Options of a call of a step. */
export interface CallOptions {
  /**
   * Names this call. Needed from the second call of a step on, so that calls keep their identity when the code around them changes. Any
   * text that is not empty, also from data: what is not A-Z a-z 0-9 _ - . is escaped in journals and keys (`M4/20` is `M4%2F20`).
   */
  readonly id?: string | undefined;
}

/** What a declared step is called with. */
export type StepInput<S> = S extends Step<infer Input, unknown> ? Input : never;

/** What a declared step gives out. */
export type StepOutput<S> = S extends { readonly '~types'?: { readonly output: infer Output } | undefined }
  ? Output
  : never;

/** The arguments of a call: a step without input is called with none. */
export type CallArguments<Input> = undefined extends Input
  ? [input?: Input, options?: CallOptions]
  : [input: Input, options?: CallOptions];

/** How `run` calls a declared step. */
export type StepCalls<S extends Steps> = {
  readonly [Name in keyof S]: (...args: CallArguments<StepInput<S[Name]>>) => Promise<StepOutput<S[Name]>>;
};

/** What the code of a {@link saga} is given. */
export interface RunContext<Input, S extends Steps, Sig extends Signals> {
  readonly input: Input;
  readonly steps: StepCalls<S>;
  /** Waits durably. The run leaves memory meanwhile. */
  readonly sleep: (duration: Duration) => Promise<void>;
  /** Waits durably until a time. */
  readonly sleepUntil: (time: Date) => Promise<void>;
  /** Waits durably for a signal; each is taken once, in the order of arrival. With a timeout it resolves to null when the time is up. */
  readonly waitFor: WaitFor<Sig>;
  /** The time of the last thing this run was told: the same at every replay. */
  readonly now: () => Date;
  /** In [0, 1): the same at every replay. Not for secrets. */
  readonly random: () => number;
  /** A version 4 UUID: the same at every replay. */
  readonly uuid: () => string;
  readonly runId: string;
}

/** Waits for a signal. See {@link RunContext}. */
export interface WaitFor<Sig extends Signals> {
  <Name extends keyof Sig & string>(signal: Name): Promise<StandardSchemaV1.InferOutput<Sig[Name]>>;
  <Name extends keyof Sig & string>(
    signal: Name,
    options: { readonly timeout: Duration },
  ): Promise<StandardSchemaV1.InferOutput<Sig[Name]> | null>;
}

/** Options of {@link saga}. */
export interface SagaOptions<
  Name extends string,
  Schema extends StandardSchemaV1,
  S extends Steps,
  Sig extends Signals,
  Result,
> {
  /** A-Z a-z 0-9 _ - . : at most 100 characters. Runs are kept under it. */
  readonly name: Name;
  /**
   * Raise it when runs under way would no longer fit the code; several versions can run side by side.
   *
   * @defaultValue 1
   */
  readonly version?: number | undefined;
  /** Any Standard Schema. What it gives out is recorded, and so must be JSON. */
  readonly input: Schema;
  readonly steps: S;
  readonly signals?: Sig | undefined;
  /**
   * From the start; then the run is compensated, unless it has passed its pivot.
   *
   * @defaultValue none
   */
  readonly deadline?: Duration | undefined;
  /**
   * Most runs of it that one worker has in memory at once.
   *
   * @defaultValue the worker's
   */
  readonly concurrency?: number | undefined;
  /**
   * Which errors are bugs, that make the run stuck until the code is mended, and which are meant failures, that compensate it. Goes
   * before what the worker says.
   *
   * @defaultValue TypeError, ReferenceError, RangeError, SyntaxError and AssertionError themselves are bugs; everything else is meant
   * @example errors: { stuck: [InvariantError], compensate: [RangeError] }
   */
  readonly errors?: ErrorLists | undefined;
  /** Ordinary code that awaits nothing but what its context gives: it is run again, against the journal, after every interruption. */
  readonly run: (context: RunContext<StandardSchemaV1.InferOutput<Schema>, S, Sig>) => Promise<Result>;
}

/** A declared saga. `~types` exists for the compiler alone. */
export interface Saga<Input = unknown, Result = unknown, Sig extends Signals = Signals> {
  readonly name: string;
  readonly version: number;
  readonly input: StandardSchemaV1;
  readonly steps: Steps;
  readonly signals: Sig;
  readonly deadlineMs: number | null;
  readonly concurrency: number | null;
  /** Null: as the worker says. */
  readonly errors: ErrorLists | null;
  readonly run: (context: RunContext<unknown, Steps, Signals>) => Promise<unknown>;
  readonly '~types'?: ChildSaga<Input, Result>['~types'];
}

/** A saga with its types forgotten. */
export type AnySaga = Saga<never>;

/** What `start` takes for a saga. */
export type SagaInput<S extends AnySaga> = S extends Saga<infer Input> ? Input : never;
/** What a run of it results in. */
export type SagaResult<S extends AnySaga> = S extends {
  readonly '~types'?: { readonly result: infer Result } | undefined;
}
  ? Result
  : never;

/**
 * Declares a saga.
 *
 * @throws HoldfastError HF_SAGA_DEFINITION, HF_OPTION_UNKNOWN, HF_DURATION
 * @example
 * const order = saga({
 *   name: 'order',
 *   input: z.object({ orderId: z.string() }),
 *   signals: { paid: z.object({ by: z.string() }) },
 *   steps: { reserve: command(ReserveStock, { reply: StockReserved, compensate: ReleaseStock }), news: emit(OrderPlaced) },
 *   async run({ input, steps, waitFor }) {
 *     const { shelf } = await steps.reserve({ orderId: input.orderId });
 *     const paid = await waitFor('paid', { timeout: '2d' });
 *     if (paid === null) throw new Rejection('nobody paid');
 *     await steps.news({ orderId: input.orderId, total: 12 });
 *     return { shelf };
 *   },
 * });
 */
export function saga<
  const Name extends string,
  Schema extends StandardSchemaV1,
  S extends Steps,
  Sig extends Signals = { readonly [Signal in never]: StandardSchemaV1 },
  Result = void,
>(
  options: SagaOptions<Name, Schema, S, Sig, Result>,
): Saga<StandardSchemaV1.InferInput<Schema>, Result, Sig> & { readonly name: Name } {
  needsOptions(
    options,
    'saga',
    "saga({ name: 'place-order', input, steps: { … }, async run({ input, steps }) { … } })",
  );
  const { name, version = 1, input, steps, signals = {} as Sig, deadline, concurrency, errors, run } = options;
  const where = checkName(name);
  refuseUnknownOptions(
    options,
    ['name', 'version', 'input', 'steps', 'signals', 'deadline', 'concurrency', 'errors', 'run'],
    where,
  );
  checkVersion(version, where);
  checkSchema(input, where);
  checkSteps(steps, where);
  checkSignals(signals, steps, where);
  checkConcurrency(concurrency, where);
  checkRunFunction(run, where);
  return {
    name,
    version,
    input,
    steps,
    signals,
    deadlineMs: deadline === undefined ? null : positiveDuration(deadline, 'deadline', where),
    concurrency: concurrency ?? null,
    errors: checkErrorLists(errors, where, 'HF_SAGA_DEFINITION'),
    run: run as unknown as Saga['run'],
  };
}

/** The declared step of that name; undefined when there is none. */
export function stepOf(definition: AnySaga, name: string): StepDefinition | undefined {
  return Object.hasOwn(definition.steps, name) ? definition.steps[name] : undefined;
}

/** Sagas by name and version; what workers and clients are given. */
export interface Registry {
  readonly all: readonly AnySaga[];
  find(name: string, version: number): AnySaga | undefined;
  /** The newest version. Throws HF_SAGA_UNKNOWN with the nearest name. */
  newest(name: string): AnySaga;
}

/** @throws HoldfastError HF_SAGA_DEFINITION for a name and version given twice, and for a child that is not among them */
export function createRegistry(sagas: readonly AnySaga[], where: string): Registry {
  checkSagaList(sagas, where);
  const byKey = new Map<string, AnySaga>();
  const newest = new Map<string, AnySaga>();
  for (const each of sagas) {
    const key = `${each.name}@${each.version}`;
    const twin = byKey.get(key);
    if (twin !== undefined && twin !== each)
      throw badDefinition(
        where,
        `is given two sagas ${each.name} of version ${each.version}`,
        'Give the newer one the next version.',
      );
    byKey.set(key, each);
    if ((newest.get(each.name)?.version ?? 0) < each.version) newest.set(each.name, each);
  }
  for (const each of byKey.values()) {
    for (const [name, definition] of Object.entries(each.steps)) {
      if (definition.saga !== null && !byKey.has(`${definition.saga.name}@${definition.saga.version}`))
        throw badDefinition(
          where,
          `has ${each.name}, whose step ${name} starts ${definition.saga.name}, but not that one`,
          'Register the child as well.',
        );
    }
  }
  return {
    all: [...byKey.values()],
    find: (name, version) => byKey.get(`${name}@${version}`),
    newest(name) {
      const found = newest.get(name);
      if (found !== undefined) return found;
      const near = didYouMean(name, [...newest.keys()]);
      throw new HoldfastError('HF_SAGA_UNKNOWN', `There is no saga ${JSON.stringify(name)}.`, {
        advice:
          near === undefined
            ? `Known: ${[...newest.keys()].join(', ') || 'none'}.`
            : `Did you mean ${JSON.stringify(near)}?`,
      });
    },
  };
}
