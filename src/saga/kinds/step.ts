/**
 * A step in this process: an HTTP call, a mail, whatever is no transaction here. Done at least once; an attempt of which nothing is known
 * is in doubt.
 */
import type { JsonOnly } from '../definition/json-only.ts';
import {
  attemptTimeout,
  checkBreaker,
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
  type Verified,
} from '../definition/steps.ts';
import { compensatedCall } from '../journal/compensated-call.ts';
import { valueOf } from '../journal/state.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { attemptDue, attemptKey, deadlineOf, longestAttemptsMs } from './attempted.ts';
import type { Kind } from './kind.ts';

/** Options of {@link step}. */
export interface StepOptions<Input, Output> extends AttemptedStepOptions {
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

export interface LocalStep extends StepDefinition {
  readonly kind: 'step';
  readonly run: (input: unknown, context: StepContext) => unknown;
  readonly compensate: ((compensation: CompensatedCall<unknown, unknown>, context: StepContext) => unknown) | null;
  readonly breaker: string | null;
}

/**
 * A step in this process: an HTTP call, a mail, whatever is no transaction here.
 *
 * @throws HoldfastError HF_SAGA_DEFINITION, HF_OPTION_UNKNOWN, HF_DURATION, HF_CONFIG, as all the kinds of steps
 * @example
 * const charge = step({
 *   run: async (order: { readonly id: string; readonly total: number }, { idempotencyKey, signal }) => {
 *     const headers = { 'idempotency-key': idempotencyKey };
 *     const response = await fetch('https://bank.example/charges', { method: 'POST', body: JSON.stringify(order), headers, signal });
 *     return { charge: response.headers.get('location') };
 *   },
 *   compensate: async ({ key }, { signal }) => {
 *     await fetch(`https://bank.example/charges/${key}`, { method: 'DELETE', signal });
 *   },
 *   timeout: '10s',
 * });
 */
export function step<Input, Output>(options: StepOptions<Input, Output> & JsonOnly<Output>): Step<Input, Output> {
  needsOptions(options, 'step', 'step({ run: async (input) => … })');
  refuseUnknownOptions(
    options,
    ['run', 'compensate', 'verify', 'fallback', 'breaker', 'deadline', ...COMMON_OPTIONS],
    'step',
  );
  needsFunction(options.run, 'step', 'run');
  refuseUndefined(options, ['compensate', 'verify', 'fallback'], 'step');
  const definition: LocalStep = {
    kind: 'step',
    ...commonOf(options, 'step', DEFAULT_STEP_RETRY, attemptTimeout),
    run: options.run as LocalStep['run'],
    compensate: optionalFunction(options.compensate, 'step', 'compensate') as LocalStep['compensate'],
    verify: optionalFunction(options.verify, 'step', 'verify') as LocalStep['verify'],
    fallback: optionalFunction(options.fallback, 'step', 'fallback') as Fallback | null,
    breaker: checkBreaker(options.breaker, 'step'),
  };
  return definition;
}

export const STEP: Kind<LocalStep> = {
  endsBy: 'attempt',
  longestMs: longestAttemptsMs,
  until: deadlineOf,
  whenDue: attemptDue,
  attempt: (_runId, call, declared) => ({
    breaker: declared.breaker,
    fn: (context) => declared.run(valueOf(call.input), context),
  }),
  compensate: () => 'attempt',
  attemptCompensation: (runId, call, declared) => ({
    breaker: null,
    fn: (context) => declared.compensate?.(compensatedCall(call, declared, attemptKey(runId, call)), context),
  }),
};
