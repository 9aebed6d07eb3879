/**
 * Another saga as a step: a run of its own, started in the commit that records the call. Done when the child is done; the child then waits
 * until the parent has ended, and can be compensated with it.
 */
import { encodePayload } from '../../message/payload.ts';
import { validate } from '../../message/validate.ts';
import type { Duration } from '../../runtime/duration.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import type { CarriedTrace } from '../../runtime/telemetry.ts';
import { badDefinition, needsOptions, positiveDuration } from '../definition/step-checks.ts';
import {
  commonOf,
  DEFAULT_STEP_RETRY,
  type ChildSaga,
  type CommonStepOptions,
  type StartedSaga,
  type Step,
  type StepDefinition,
} from '../definition/steps.ts';
import { recordTrace } from '../journal/run-trace.ts';
import { textOf, valueOf, type CallState } from '../journal/state.ts';
import { childRunId } from '../protocol/child-id.ts';
import type { CallAnswer, AnswerBody, Kind } from './kind.ts';

/** Options of {@link child}. */
export interface ChildOptions extends Pick<CommonStepOptions, 'pivot'> {
  /**
   * Until when the child must be done; then it is compensated and the call fails.
   *
   * @defaultValue none
   */
  readonly timeout?: Duration | undefined;
}

export interface ChildStep extends StepDefinition {
  readonly kind: 'child';
  readonly saga: StartedSaga;
}

/**
 * Another saga as a step. Done when the child is done; the child is then held until the parent has ended. When the parent
 * is compensated, so is the child.
 *
 * @example
 * const ordered = child(placeOrder, { timeout: '1h' });
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
  const settled = commonOf(rest, where, DEFAULT_STEP_RETRY, positiveDuration);
  const definition: ChildStep = {
    kind: 'child',
    ...settled,
    timeoutMs: timeout === undefined ? Infinity : positiveDuration(timeout, 'timeout', where),
    // Compensating it takes as long as its own compensations take.
    compensation: { ...settled.compensation, timeoutMs: Infinity },
    // It compensates itself.
    compensate: 'by itself',
    saga,
  };
  return definition;
}

/** What the child says of itself: that it is done, or what became of it when it was to be compensated. */
function answer(call: CallState, body: AnswerBody): CallAnswer | null {
  if (body.kind !== 'child') return null;
  if (call.compensation?.state === 'open') {
    if (body.outcome === 'compensated') return { kind: 'compensated' };
    if (body.outcome !== 'refused') return null;
    const message = `The child ${call.child ?? ''} has passed its pivot, or has ended, and cannot be compensated.`;
    return { kind: 'not compensated', error: { name: 'HoldfastError', code: 'HF_SAGA_PIVOTED', message } };
  }
  // It was spared before it was done.
  if (call.outcome !== 'open') return body.outcome === 'done' && call.compensation !== null ? { kind: 'spared' } : null;
  if (body.outcome === 'done') return { kind: 'done', output: textOf(body.output) };
  // A child that failed has compensated itself: nothing is left of it.
  const error = body.error ?? { name: 'HoldfastError', code: 'HF_SAGA_UNDONE', message: 'The child was compensated.' };
  return { kind: 'failed', error, doubt: false };
}

/** The child goes on the trace of its parent. */
function traceText(carried: CarriedTrace | null | undefined): string {
  return carried === null || carried === undefined ? '' : `,"trace":${JSON.stringify(recordTrace(carried))}`;
}

export const CHILD: Kind<ChildStep> = {
  endsBy: 'answer',
  declares: ({ saga }) => [saga.name, saga.version],
  longestMs: ({ timeoutMs }) => (timeoutMs === Infinity ? 0 : timeoutMs),
  /** The input of the child as JSON. */
  async prepare(run, step, { id, input }) {
    const where = `${run.saga.name}, input of ${id}`;
    const validated = validate(step.saga.input, valueOf(input), where);
    const value = validated instanceof Promise ? await validated : validated.value;
    return encodePayload(value, { maxBytes: run.settings.maxBytes, where });
  },
  until: (step, at) => (step === undefined || step.timeoutMs === Infinity ? null : at + step.timeoutMs),
  childId: childRunId,
  leave(run, step, { call, child: id, ready, at }) {
    if (id === null) return;
    const { name: saga, version, deadlineMs } = step.saga;
    const deadlineAt = deadlineMs === null ? null : at + deadlineMs;
    const deadline = deadlineAt === null ? '' : `,"deadlineAt":${deadlineAt}`;
    run.startChild(
      { id, saga, version, held: false, status: 'pending', deadlineAt, parent: { id: run.id, call } },
      `[{"t":"started"${deadline}${traceText(run.span?.carried)},"input":${ready}}]`,
    );
  },
  whenDue({ call }) {
    const message = `The child of ${call.id} was not done in time.`;
    return { kind: 'failed', error: { name: 'HoldfastError', code: 'HF_STEP_TIMEOUT', message } };
  },
  // It answers, however long its own compensations take.
  recoverCompensation() {},
  compensate(run, _step, { call }) {
    if (call.child !== null) run.post(call.child, { kind: 'undo' });
    return 'waits';
  },
  answer,
  waiting: ({ child: id }, until) =>
    `waits for its child${until === null ? '' : `, ${until}`}${id === null ? '' : ` (${id})`}`,
};
