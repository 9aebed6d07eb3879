/**
 * A message to a participant, and a durable wait for its answer. One that is not answered is sent again under the same name, and the
 * participant recognises it; the same goes for its compensation.
 */
import { decodePayload, decodePayloadText } from '../../message/decode.ts';
import type { MessageType, PayloadInput, PayloadOf } from '../../message/message-type.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { wireCall } from '../definition/call-id.ts';
import {
  needsMessage,
  needsOptions,
  optionalFunction,
  positiveDuration,
  refuseUndefined,
} from '../definition/step-checks.ts';
import {
  COMMON_OPTIONS,
  commonOf,
  compensatingMessage,
  DEFAULT_COMMAND_RETRY,
  type CommonStepOptions,
  type CompensatingMessage,
  type CompensationMessage,
  type Fallback,
  type Step,
  type StepDefinition,
} from '../definition/steps.ts';
import { compensatedCall } from '../journal/compensated-call.ts';
import type { RecordedError } from '../journal/events.ts';
import { recordError } from '../journal/recorded-error.ts';
import { raisedInput } from '../journal/recorded-values.ts';
import { knownAsDone, valueOf, type CallState } from '../journal/state.ts';
import { encodeOutput, prepareSagaMessage } from '../protocol/commands.ts';
import { writeSagaCall } from '../protocol/wire.ts';
import { attemptKey, longestAttemptsMs } from './attempted.ts';
import type { CallAnswer, AnswerBody, CallDue, DueCall, Kind, ReadAnswer } from './kind.ts';

/** Options of {@link command}. */
export interface CommandOptions<
  Command extends MessageType,
  Reply extends MessageType,
  Compensating extends MessageType,
> extends CommonStepOptions {
  /** What the participant answers with. Without it the answer is only that it is done. */
  readonly reply?: Reply | undefined;
  /** The message that compensates it; answered like the command. */
  readonly compensate?: CompensatingMessage<PayloadInput<Command>, PayloadOf<Reply>, Compensating> | undefined;
  readonly fallback?:
    | ((input: PayloadInput<Command>, error: Error) => PayloadOf<Reply> | Promise<PayloadOf<Reply>>)
    | undefined;
}

export interface CommandStep extends StepDefinition {
  readonly kind: 'command';
  readonly command: MessageType;
  readonly reply: MessageType | null;
  readonly compensate: CompensationMessage | null;
}

/**
 * A message to a participant, and a durable wait for its answer.
 *
 * @example
 * const reserve = command(ReserveStock, { reply: StockReserved, compensate: ReleaseStock, timeout: '30s' });
 */
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
  refuseUnknownOptions(options, ['reply', 'compensate', 'fallback', ...COMMON_OPTIONS], where);
  refuseUndefined(options, ['reply', 'compensate', 'fallback'], where);
  if (options.reply !== undefined) needsMessage(options.reply, `${where}.reply`);
  const definition: CommandStep = {
    kind: 'command',
    ...commonOf(options, where, DEFAULT_COMMAND_RETRY, positiveDuration),
    inputType: message,
    outputType: options.reply ?? null,
    command: message,
    reply: options.reply ?? null,
    compensate: compensatingMessage(message, options.compensate, where),
    fallback: optionalFunction(options.fallback, where, 'fallback') as Fallback | null,
  };
  return definition;
}

/** Whether a declared step is a command. */
export function isCommand(step: StepDefinition): step is CommandStep {
  return step.kind === 'command';
}

/** An answer that is missed so much later than it was due was not waited for, in milliseconds. */
const UNATTENDED_MS = 5_000;

/** Nobody was there when the answer was due, so it may lie on its way to the one who was away: asking once more costs nothing. */
function isUnattended(until: number | null, now: number): boolean {
  return until !== null && now - until > UNATTENDED_MS;
}

function unanswered(what: string, timeoutMs: number): RecordedError {
  return { name: 'HoldfastError', code: 'HF_STEP_TIMEOUT', message: `No reply to ${what} within ${timeoutMs} ms.` };
}

function whenDue({ call, now }: DueCall, step: CommandStep | undefined): CallDue {
  if (call.retryAt !== null || step === undefined) return { kind: 'send again' };
  const error = unanswered(call.id, step.timeoutMs);
  return { kind: 'unanswered', error, uncounted: isUnattended(call.until, now) };
}

/** The first answer counts; a later one is news only where the first was none. */
function answer(call: CallState, body: AnswerBody, read: ReadAnswer | null): CallAnswer | null {
  if (body.kind !== 'reply') return null;
  if (body.to === 'compensation') {
    if (call.compensation?.state !== 'open') return null;
    return body.outcome === 'done' ? { kind: 'compensated' } : { kind: 'not compensated', error: errorOf(body) };
  }
  if (call.outcome === 'open') {
    if (read?.kind === 'read') return { kind: 'done', output: read.output };
    // It is done, but nobody can read what came of it.
    if (read !== null) return { kind: 'failed', error: read.error, doubt: true };
    return { kind: 'failed', error: errorOf(body), doubt: false };
  }
  // What is compensated, or is being compensated, needs no word that it never happened.
  if (knownAsDone(call) || (body.outcome === 'rejected' && (!call.doubt || call.compensation !== null))) return null;
  return { kind: 'late', outcome: body.outcome, output: read?.kind === 'read' ? read.output : undefined };
}

function errorOf({ error }: AnswerBody): RecordedError {
  return error ?? { name: 'Rejection', code: 'HF_REJECTED', message: 'rejected', details: { reason: 'rejected' } };
}

export const COMMAND: Kind<CommandStep> = {
  endsBy: 'answer',
  declares: ({ command: type, reply, compensate }) =>
    [type, reply, compensate?.message ?? null].map((each) => each && [each.topic, each.version]),
  longestMs: longestAttemptsMs,
  async prepare(run, step, { name, input, version = null }) {
    const { replyTo } = run.settings;
    const headers = writeSagaCall({ runId: run.id, call: name, role: 'command', replyTo, outcome: null });
    return prepareSagaMessage(run, {
      type: step.command,
      payload: raisedInput(step, version, valueOf(input)),
      headers,
    });
  },
  until: (step, at) => (step === undefined ? null : at + step.timeoutMs),
  leave: (run, _step, { ready }) => run.send(ready),
  isSentAgain: true,
  whenDue,
  compensationUnanswered(call, { compensation: { timeoutMs } }, now) {
    const error = unanswered(`the compensation of ${call.id}`, timeoutMs);
    return { error, uncounted: isUnattended(call.compensation?.replyBy ?? null, now) };
  },
  recover(call, step, now) {
    if (call.retryAt === null) return;
    // Whether it was sent again then is not known; if not, its time will be up once more.
    const wasDue = call.retryAt <= now;
    call.until = wasDue ? call.retryAt + step.timeoutMs : null;
    if (wasDue) call.retryAt = null;
  },
  recoverCompensation(compensation, step, now) {
    const { retryAt, startedAt } = compensation;
    if (retryAt !== null && retryAt > now) return;
    compensation.retryAt = null;
    compensation.replyBy = (retryAt ?? startedAt) + step.compensation.timeoutMs;
  },
  async prepareCompensation(run, step, call) {
    if (step.compensate === null) return null;
    const outcome = knownAsDone(call) ? 'done' : 'unknown';
    const payload = step.compensate.payload(compensatedCall(call, step, attemptKey(run.id, call)));
    const { replyTo } = run.settings;
    const headers = writeSagaCall({ runId: run.id, call: wireCall(call), role: 'compensation', replyTo, outcome });
    return prepareSagaMessage(run, { type: step.compensate.message, payload, headers });
  },
  compensate(run, step, { call, message, now }) {
    if (message !== null) run.send(message);
    if (call.compensation !== null) call.compensation.replyBy = Math.floor(now + step.compensation.timeoutMs);
    return 'waits';
  },
  async readAnswer(run, step, body) {
    if (body.kind !== 'reply' || body.to !== 'command' || body.outcome !== 'done') return null;
    if (step === undefined || step.reply === null) return { kind: 'read', output: undefined };
    try {
      const { output: data, outputText, outputVersion: version = step.reply.version } = body;
      const id = `to ${run.id}:${body.call}`;
      const value = await (outputText === undefined
        ? decodePayload(step.reply, { id, version, data })
        : decodePayloadText(step.reply, { id, version }, outputText));
      const where = `${run.saga.name}, reply to ${body.call}`;
      return { kind: 'read', output: encodeOutput(value, run.settings.maxBytes, where) };
    } catch (error) {
      return { kind: 'unreadable', error: recordError(error) };
    }
  },
  answer,
  waiting: (_call, until) => `waits for its reply${until === null ? '' : `, ${until}`}`,
};
