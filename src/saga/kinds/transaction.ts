/**
 * A step whose effect is in the saga's own database. Its effect and the record of its outcome commit together, so it is done exactly once,
 * and an attempt of which nothing is known has not happened.
 */
import type { PoolClient } from 'pg';
import { checkRunner, type Runner } from '../../postgres/runner.ts';
import type { JsonOnly } from '../definition/json-only.ts';
import {
  attemptTimeout,
  needsFunction,
  needsOptions,
  optionalFunction,
  refuseUndefined,
} from '../definition/step-checks.ts';
import {
  COMMON_OPTIONS,
  commonOf,
  DEFAULT_STEP_RETRY,
  type AttemptedStepOptions,
  type CompensatedCall,
  type Fallback,
  type Step,
  type StepContext,
  type StepDefinition,
  type TransactionContext,
} from '../definition/steps.ts';
import { compensatedCall } from '../journal/compensated-call.ts';
import { valueOf } from '../journal/state.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { attemptDue, attemptKey, deadlineOf, longestAttemptsMs } from './attempted.ts';
import type { Kind, Work } from './kind.ts';

/** Options of {@link transaction}. */
export interface SagaTransactionOptions<Input, Output, Tx = PoolClient> extends AttemptedStepOptions {
  /** Its writes through `tx`, its messages and its outcome commit together: exactly once. */
  readonly run: (input: Input, context: TransactionContext<Tx>) => Output | Promise<Output>;
  /** In a transaction as well, together with the record that it is done. */
  readonly compensate?:
    | ((compensation: CompensatedCall<Input, Output>, context: TransactionContext<Tx>) => unknown)
    | undefined;
  readonly fallback?: ((input: Input, error: Error) => Output | Promise<Output>) | undefined;
}

export interface TransactionStep extends StepDefinition {
  readonly kind: 'transaction';
  readonly run: (input: unknown, context: TransactionContext) => unknown;
  readonly compensate:
    | ((compensation: CompensatedCall<unknown, unknown>, context: TransactionContext) => unknown)
    | null;
  /** Null: in transactions of the worker's own database. */
  readonly runner: Runner<unknown> | null;
}

/** The type of {@link transaction}, for the transactions of a runner. */
export type TransactionFor<Tx> = <Input, Output>(
  options: SagaTransactionOptions<Input, Output, Tx> & JsonOnly<Output>,
) => Step<Input, Output>;

/**
 * A step whose effect is in the saga's own database: exactly once. `tx` is a client of node-postgres; for another client or ORM use
 * {@link transactionFor}.
 *
 * @example
 * const book = transaction({
 *   run: async (amount: number, { tx, idempotencyKey }) => {
 *     await tx.query('INSERT INTO booking (id, amount) VALUES ($1, $2)', [idempotencyKey, amount]);
 *   },
 *   compensate: async ({ key }, { tx }) => {
 *     await tx.query('DELETE FROM booking WHERE id = $1', [key]);
 *   },
 * });
 */
export function transaction<Input, Output>(
  options: SagaTransactionOptions<Input, Output> & JsonOnly<Output>,
): Step<Input, Output> {
  return makeTransaction(options, null);
}

/**
 * `transaction` in your own client or ORM: `tx` is what the runner opens, and the record of the step is written in it as well, so both
 * are one commit. The runner must work on the database of the worker.
 *
 * @throws HoldfastError HF_CONFIG
 * @example
 * const inKnex = transactionFor(knexRunner(knex));
 * const inMyClient = transactionFor<MyTransaction>({
 *   transaction: (fn) => myClient.inTransaction(fn),
 *   execute: (tx, sql, parameters) => tx.rows(sql, parameters),
 * });
 * const book = inMyClient({
 *   run: async (amount: number, { tx, idempotencyKey }) => {
 *     await tx.insert('booking', { id: idempotencyKey, amount });
 *   },
 *   compensate: async ({ key }, { tx }) => {
 *     await tx.delete('booking', { id: key });
 *   },
 * });
 */
export function transactionFor<Tx>(runner: Runner<Tx>): TransactionFor<Tx> {
  checkRunner('transactionFor', runner);
  return (options) => makeTransaction(options, runner);
}

function makeTransaction<Input, Output, Tx>(
  options: SagaTransactionOptions<Input, Output, Tx>,
  runner: Runner<Tx> | null,
): Step<Input, Output> {
  needsOptions(options, 'transaction', 'transaction({ run: async (input, { tx }) => … })');
  refuseUnknownOptions(options, ['run', 'compensate', 'fallback', 'deadline', ...COMMON_OPTIONS], 'transaction');
  needsFunction(options.run, 'transaction', 'run');
  refuseUndefined(options, ['compensate', 'fallback'], 'transaction');
  const definition: TransactionStep = {
    kind: 'transaction',
    ...commonOf(options, 'transaction', DEFAULT_STEP_RETRY, attemptTimeout),
    run: options.run as TransactionStep['run'],
    compensate: optionalFunction(options.compensate, 'transaction', 'compensate') as TransactionStep['compensate'],
    fallback: optionalFunction(options.fallback, 'transaction', 'fallback') as Fallback | null,
    runner,
  };
  return definition;
}

export const TRANSACTION: Kind<TransactionStep> = {
  endsBy: 'transaction',
  longestMs: longestAttemptsMs,
  until: deadlineOf,
  whenDue: attemptDue,
  attempt: (_runId, call, step) => workOf(step, (context) => step.run(valueOf(call.input), context)),
  compensate: () => 'attempt',
  attemptCompensation: (runId, call, step) =>
    workOf(step, (context) => step.compensate?.(compensatedCall(call, step, attemptKey(runId, call)), context)),
};

function workOf({ runner }: TransactionStep, act: (context: TransactionContext) => unknown): Work {
  const inTransaction = (context: StepContext): unknown => act(context as TransactionContext);
  if (typeof runner?.flush !== 'function') return { breaker: null, fn: inTransaction, runner };
  // What the ORM holds back is part of the step, of its time and of its failures.
  const flushed = async (context: StepContext): Promise<unknown> => {
    const output = await inTransaction(context);
    await runner.flush?.((context as TransactionContext).tx);
    return output;
  };
  return { breaker: null, fn: flushed, runner };
}
