/**
 * A step whose effect is in the saga's own database. Its effect and the record of its outcome commit together, so it is done exactly once,
 * and an attempt of which nothing is known has not happened.
 */
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
  type StepDefinition,
  type TransactionContext,
} from '../definition/steps.ts';
import { compensatedCall } from '../journal/compensated-call.ts';
import { valueOf } from '../journal/state.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { attemptDue, attemptKey, deadlineOf, longestAttemptsMs } from './attempted.ts';
import type { Kind } from './kind.ts';

/** Options of {@link transaction}. */
export interface SagaTransactionOptions<Input, Output> extends AttemptedStepOptions {
  /** Its writes through `tx`, its messages and its outcome commit together: exactly once. */
  readonly run: (input: Input, context: TransactionContext) => Output | Promise<Output>;
  /** In a transaction as well, together with the record that it is done. */
  readonly compensate?:
    | ((compensation: CompensatedCall<Input, Output>, context: TransactionContext) => unknown)
    | undefined;
  readonly fallback?: ((input: Input, error: Error) => Output | Promise<Output>) | undefined;
}

export interface TransactionStep extends StepDefinition {
  readonly kind: 'transaction';
  readonly run: (input: unknown, context: TransactionContext) => unknown;
  readonly compensate:
    | ((compensation: CompensatedCall<unknown, unknown>, context: TransactionContext) => unknown)
    | null;
}

/**
 * A step whose effect is in the saga's own database: exactly once.
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
  };
  return definition;
}

export const TRANSACTION: Kind<TransactionStep> = {
  endsBy: 'transaction',
  longestMs: longestAttemptsMs,
  until: deadlineOf,
  whenDue: attemptDue,
  attempt: (_runId, call, step) => ({
    breaker: null,
    fn: (context) => step.run(valueOf(call.input), context as TransactionContext),
  }),
  compensate: () => 'attempt',
  attemptCompensation: (runId, call, step) => ({
    breaker: null,
    fn: (context) =>
      step.compensate?.(compensatedCall(call, step, attemptKey(runId, call)), context as TransactionContext),
  }),
};
