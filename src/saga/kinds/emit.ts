/** A message that nobody answers. It leaves in the commit that records it, and is done with that. */
import type { MessageType, PayloadInput } from '../../message/message-type.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import {
  badDefinition,
  needsMessage,
  needsOptions,
  positiveDuration,
  refuseUndefined,
} from '../definition/step-checks.ts';
import {
  commonOf,
  compensatingMessage,
  DEFAULT_STEP_RETRY,
  type CompensatingMessage,
  type CompensationMessage,
  type Step,
  type StepDefinition,
} from '../definition/steps.ts';
import { compensatedCall } from '../journal/compensated-call.ts';
import { raisedInput } from '../journal/recorded-values.ts';
import { valueOf } from '../journal/state.ts';
import { prepareSagaMessage } from '../protocol/commands.ts';
import { attemptKey } from './attempted.ts';
import type { Kind } from './kind.ts';

/** Options of {@link emit}. */
export interface EmitOptions<Type extends MessageType, Compensating extends MessageType> {
  /** A message that takes the first one back, for those who heard it. */
  readonly compensate?: CompensatingMessage<PayloadInput<Type>, void, Compensating> | undefined;
}

export interface EmitStep extends StepDefinition {
  readonly kind: 'emit';
  readonly message: MessageType;
  readonly compensate: CompensationMessage | null;
}

/**
 * A message that nobody answers. It leaves in the commit that records it.
 *
 * @example
 * const news = emit(OrderPlaced);
 */
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
    ...commonOf({}, where, DEFAULT_STEP_RETRY, positiveDuration),
    inputType: message,
    message,
    compensate: compensatingMessage(message, options.compensate, where),
  };
  return definition;
}

/** An emit has no outcome, so most of what other steps can be told means nothing to it. */
function refuseOnEmit(options: object, where: string): void {
  for (const name of ['pivot', 'retry', 'timeout', 'fallback', 'reply', 'compensation']) {
    if (!Object.hasOwn(options, name)) continue;
    throw badDefinition(
      where,
      `has the option ${name}, but an emit is answered by nobody: it leaves in the commit that records it`,
      name === 'pivot'
        ? 'Mark the step as the pivot that cannot be taken back.'
        : `Remove it, or use command('…', { ${name} }) when somebody answers.`,
    );
  }
}

export const EMIT: Kind<EmitStep> = {
  endsBy: 'commit',
  declares: ({ message, compensate }) =>
    [message, compensate?.message ?? null].map((type) => type && [type.topic, type.version]),
  async prepare(run, step, { input, version = null }) {
    return prepareSagaMessage(run, { type: step.message, payload: raisedInput(step, version, valueOf(input)) });
  },
  until: () => null,
  leave: (run, _step, { ready }) => run.send(ready),
  // It has no time of its own: what is made ready again is its compensation.
  whenDue: () => ({ kind: 'done', output: undefined }),
  async prepareCompensation(run, step, call) {
    if (step.compensate === null) return null;
    const payload = step.compensate.payload(compensatedCall(call, step, attemptKey(run.id, call)));
    return prepareSagaMessage(run, { type: step.compensate.message, payload });
  },
  compensate(run, _step, { message }) {
    if (message !== null) run.send(message);
    return 'done';
  },
};
