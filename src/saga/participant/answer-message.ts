/**
 * Answers one command or compensation, within the transaction that a consumer has opened for it: the record of the call, the handler, and
 * the reply. All of it commits together with the inbox mark, or not at all. The record was found, or written, in the statement of the mark;
 * what becomes of it, and the reply, go out with COMMIT (call-recording.ts).
 */
import { isHoldfastError, PermanentError, type HoldfastError } from '../../errors.ts';
import type { OutboxPort } from '../../inbox/handlers/handler-run.ts';
import type { HandlerContext } from '../../inbox/handlers/handler.ts';
import { EffectRefused, type OpenRecord } from '../../inbox/handlers/recording.ts';
import type { PayloadCodec } from '../../message/codec.ts';
import { decodePayload, decodePayloadText } from '../../message/decode.ts';
import { parseExact } from '../../message/exact-json.ts';
import { encodeForSend, type MessageType } from '../../message/message-type.ts';
import type { Preparer } from '../../outbox/preparer.ts';
import type { TransactionHandle } from '../../postgres/executor.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Counter } from '../../runtime/metrics.ts';
import type { CompensationContext, ParticipantHandler } from './handle.ts';
import { encryptChange } from './encrypted-record.ts';
import { notOnRecord } from './on-record.ts';
import {
  decideCompensation,
  type CompensationDecision,
  decideRepeated,
  DONE,
  foreignReplyTopic,
  noRecord,
  notACommand,
  notACompensation,
  refusal,
  strangePayload,
} from './participant-decide.ts';
import type { Answer, ClosingCall, EnteredCall, ParticipantStore } from './participant-store.ts';
import { sagaReply, type SagaCall } from '../protocol/wire.ts';

/** A transaction lent to a handler: what the handler leaves running behind it must not write after a refusal was recorded. */
export interface LentTransaction<Tx> {
  readonly tx: Tx;
  readonly handle: TransactionHandle;
  /** Why what was written must not be committed; see LentClient. */
  trouble(): Error | null;
  /** For the record of the call, which is written after the handler. */
  restoreRole(): Promise<void>;
  takeBack(): void;
}

/** What came of a message: `repeated` was answered from the record, `nothing` had nothing to compensate. */
export type AnswerOutcome = 'done' | 'rejected' | 'repeated' | 'compensated' | 'tombstone' | 'nothing' | 'by hand';

/** What all messages of a participant share. */
export interface ParticipantContext<Tx> {
  readonly name: string;
  readonly store: ParticipantStore;
  readonly outbox: OutboxPort;
  /** Makes replies ready for the statement that ends the record; null: the outbox writes them, with an exchange of its own. */
  readonly replies: Preparer | null;
  /** By topic. */
  readonly handlers: ReadonlyMap<string, ParticipantHandler<Tx>>;
  readonly lend: (tx: Tx) => LentTransaction<Tx>;
  readonly maxBytes: number;
  /** Makes records of calls unreadable; null: they are kept as they are. */
  readonly codec: PayloadCodec | null;
  /** Topics that may be replied on. */
  readonly replyTopics: readonly string[];
  readonly log: Logger;
  readonly calls: Counter<'participant' | 'topic' | 'outcome'>;
}

/** A message as its `decode` leaves it. */
export interface ReceivedCall {
  /** As its handler gets it. */
  readonly payload: unknown;
  /** The payload as it came, as JSON text. */
  readonly text: string;
  /** Whose work it is; null: no saga has sent it. */
  readonly saga: SagaCall | null;
}

interface CallWork<Tx> extends ReceivedCall {
  readonly participant: ParticipantContext<Tx>;
  readonly handler: ParticipantHandler<Tx>;
  readonly context: HandlerContext<Tx>;
  readonly record: OpenRecord;
  /** What the record was found to be. */
  readonly entered: EnteredCall;
}

/** Whether a message is one that the handler of its topic carries out; else it is answered without a look at the record. */
export function fitsHandler(handler: { readonly compensates: unknown }, { role }: SagaCall): boolean {
  return (role === 'compensation') === (handler.compensates !== null);
}

/** Rejects with whatever is to fail the delivery; refusals that are answered are no failures. */
export async function answerMessage<Tx>(work: CallWork<Tx>): Promise<void> {
  const { participant, handler, saga } = work;
  if (saga === null) {
    // No call, so no record of one: what it would compensate is told by the message alone.
    if (handler.compensates !== null && handler.withoutRecord === 'refuse') throw forGood(noRecord(handler.topic));
    await runHandler(work, null, { command: null, reply: null });
    count(work, 'by hand');
    return;
  }
  if (!participant.replyTopics.includes(saga.replyTo))
    throw forGood(foreignReplyTopic(participant.name, saga.replyTo, participant.replyTopics));
  const answered = saga.role === 'command' ? await answerCommand(work, saga) : await answerCompensation(work, saga);
  await leave(work, saga, answered);
  count(work, answered.outcome);
}

interface Answered {
  readonly answer: Answer;
  readonly outcome: AnswerOutcome;
  readonly change: ClosingCall['change'];
}

/** With the record as it is. */
function unchanged(answer: Answer, outcome: AnswerOutcome): Answered {
  return { answer, outcome, change: null };
}

/** The record and the reply, with COMMIT. */
async function leave<Tx>(
  { participant, context, record }: CallWork<Tx>,
  saga: SagaCall,
  answered: Answered,
): Promise<void> {
  const { runId, call } = saga;
  const { answer } = answered;
  const change = encryptChange(answered.change, participant, saga);
  const type = sagaReply(saga.replyTo);
  const payload = { runId, call, to: saga.role, ...answer };
  if (participant.replies === null) {
    await context.send(type, payload);
    if (change !== null) record.close({ runId, call, change, reply: null } satisfies ClosingCall);
    return;
  }
  const reply = await participant.replies.prepare(type, payload, { causedBy: context.message });
  record.close({ runId, call, change, reply } satisfies ClosingCall);
}

async function answerCommand<Tx>(work: CallWork<Tx>, saga: SagaCall): Promise<Answered> {
  const { participant, handler, context, entered, record } = work;
  if (!fitsHandler(handler, saga)) {
    const error = notACommand(participant.name, context.message.topic);
    participant.log.error({ err: error, runId: saga.runId, call: saga.call }, 'a command cannot be carried out');
    return unchanged(refusal(error), 'rejected');
  }
  if (entered.finding === 'known') return unchanged(decideRepeated(entered.row, handler.topic), 'repeated');
  if (record.refusal !== null) {
    const answer = refusal(record.refusal.reason);
    return { answer, outcome: 'rejected', change: { state: 'rejected', answer } };
  }
  const value = await runRefusable(work, saga, { command: null, reply: null });
  const answer = await encodeAnswer(work, value);
  return { answer, outcome: 'done', change: { state: 'done', answer } };
}

async function answerCompensation<Tx>(work: CallWork<Tx>, saga: SagaCall): Promise<Answered> {
  const { participant, handler, entered, record } = work;
  if (!fitsHandler(handler, saga) || handler.compensates === null) {
    const error = notACompensation(participant.name, handler.topic);
    participant.log.error({ err: error, runId: saga.runId, call: saga.call }, 'a compensation cannot be carried out');
    return unchanged(refusal(error), 'rejected');
  }
  const row = entered.finding === 'known' ? entered.row : null;
  const decision = decideCompensation(row, handler.compensates.topic, saga.outcome ?? 'unknown');
  // Written with the mark, where nothing was.
  if (decision.do === 'write tombstone') return unchanged(DONE, 'tombstone');
  if (decision.do === 'answer') {
    const refused = decision.answer.outcome === 'rejected';
    if (refused)
      participant.log.error(
        { runId: saga.runId, call: saga.call, answer: decision.answer },
        'a compensation does not fit its call',
      );
    return unchanged(decision.answer, refused ? 'rejected' : 'nothing');
  }
  const mismatch = mismatchOf(work, saga, decision);
  if (mismatch !== null) {
    participant.log.error(
      { err: mismatch, runId: saga.runId, call: saga.call },
      'a compensation does not fit its call',
    );
    return unchanged(refusal(mismatch), 'rejected');
  }
  const recorded = decision.do === 'compensate';
  if (record.refusal !== null) {
    const answer = refusal(record.refusal.reason);
    return { answer, outcome: 'rejected', change: recorded ? null : { state: 'withdrawn' } };
  }
  await runRefusable(work, saga, await recordFor(work, saga, decision));
  return { answer: DONE, outcome: 'compensated', change: recorded ? { state: 'compensated' } : null };
}

type Compensating = Exclude<CompensationDecision, { readonly do: 'answer' | 'write tombstone' }>;

/** Why a compensation is not carried out: what it asks for is not what was recorded. Null when it is. */
function mismatchOf<Tx>({ handler, text }: CallWork<Tx>, saga: SagaCall, decision: Compensating): HoldfastError | null {
  if (decision.do === 'compensate without record')
    return handler.withoutRecord === 'compensate' ? null : noRecord(handler.topic);
  const { runId, call } = saga;
  const known = [runId, call, `${runId}:${call}`];
  const { command, reply } = decision;
  // As doubles, two amounts beyond 2^53 could pass for one.
  const record = { command: command === null ? undefined : parseExact(command.text, 'text'), reply };
  const strange = notOnRecord(parseExact(text, 'text'), record, known, handler.fromMessage);
  return strange.length === 0 ? null : strangePayload(handler.topic, strange);
}

/** As an error after which the message is parked at once: nobody can be answered. */
function forGood(cause: HoldfastError): PermanentError {
  return new PermanentError(cause.message, { cause, details: { ...cause.details, code: cause.code } });
}

interface Record {
  readonly command: unknown;
  readonly reply: unknown;
}

/** What the handler is told of the command. */
async function recordFor<Tx>(
  { participant, handler }: CallWork<Tx>,
  saga: SagaCall,
  decision: Compensating,
): Promise<Record> {
  if (decision.do === 'compensate without record') {
    participant.log.warn(
      { runId: saga.runId, call: saga.call },
      'the record of a command is gone: it is compensated from the payload alone',
    );
    return { command: null, reply: null };
  }
  const id = saga.runId;
  const command = participant.handlers.get(handler.compensates?.topic ?? '');
  const stored = decision.command;
  const reply = decision.reply?.outcome === 'done' ? decision.reply : null;
  return {
    command:
      stored === null || command === undefined
        ? null
        : await decodePayloadText(command.type, { id, version: stored.version }, stored.text),
    reply:
      reply?.outputVersion === undefined || command === undefined || command.reply === null
        ? null
        : await decodePayload(command.reply, { id, version: reply.outputVersion, data: reply.output }),
  };
}

/** A definite no, Rejection or PermanentError, is to be recorded, once what the handler wrote is rolled back. */
async function runRefusable<Tx>(work: CallWork<Tx>, saga: SagaCall, record: Record): Promise<unknown> {
  try {
    return await runHandler(work, saga, record);
  } catch (error) {
    if (isHoldfastError(error, 'HF_REJECTED') || isHoldfastError(error, 'HF_PERMANENT')) throw new EffectRefused(error);
    throw error;
  }
}

async function runHandler<Tx>(work: CallWork<Tx>, saga: SagaCall | null, record: Record): Promise<unknown> {
  const { participant, handler, payload, context } = work;
  const { message } = context;
  const lent = participant.lend(context.tx);
  const own: CompensationContext<Tx, unknown, unknown> = {
    tx: lent.tx,
    message,
    attempt: context.attempt,
    // Made by the consumer when asked for.
    get signal() {
      return context.signal;
    },
    send: async (type, content, options) =>
      participant.outbox.send(lent.handle, type, content, { causedBy: message, ...options }),
    saga,
    idempotencyKey:
      saga === null ? message.id : `${saga.runId}:${saga.call}${saga.role === 'compensation' ? ':undo' : ''}`,
    ...record,
  };
  const value = await (async () => handler.run(payload, own))().finally(() => lent.takeBack());
  const trouble = lent.trouble();
  if (trouble !== null) throw trouble;
  await lent.restoreRole();
  return value;
}

/** @throws HoldfastError HF_PERMANENT: a reply that does not fit its type is a mistake in the code, and no answer to anything */
async function encodeAnswer<Tx>({ participant, handler }: CallWork<Tx>, value: unknown): Promise<Answer> {
  // The reply type of a compensation is that of its command; it answers with nothing itself.
  if (handler.reply === null || handler.compensates !== null) return DONE;
  const reply: MessageType = handler.reply;
  try {
    const { text } = await encodeForSend(reply, value, { maxBytes: participant.maxBytes, key: null });
    return { outcome: 'done', output: JSON.parse(text), outputVersion: reply.version };
  } catch (cause) {
    throw new PermanentError(`The handler of ${handler.topic} returned what its reply ${reply.topic} does not take.`, {
      cause,
      advice: 'Nothing was committed. Mend the handler, then have the message handled again.',
    });
  }
}

function count<Tx>({ participant, handler }: CallWork<Tx>, outcome: AnswerOutcome): void {
  participant.calls.inc({ participant: participant.name, topic: handler.topic, outcome });
}
