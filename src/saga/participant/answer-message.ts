/**
 * Answers one command or compensation, within the transaction that a consumer has opened for it: the record of the call, the handler, and
 * the reply. All of it commits together with the inbox mark, or not at all.
 */
import { HoldfastError, isHoldfastError, PermanentError } from '../../errors.ts';
import type { OutboxPort } from '../../inbox/handlers/handler-run.ts';
import type { HandlerContext } from '../../inbox/handlers/handler.ts';
import { decodePayload, decodePayloadText } from '../../message/decode.ts';
import { parseExact } from '../../message/exact-json.ts';
import { encodeForSend, type MessageType } from '../../message/message-type.ts';
import type { SqlExecutor, TransactionHandle } from '../../postgres/executor.ts';
import { sqlStateOf } from '../../postgres/sql-state.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Counter } from '../../runtime/metrics.ts';
import type { CompensationContext, ParticipantHandler } from './handle.ts';
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
import type { Answer, CallRow, ParticipantStore } from './participant-store.ts';
import { readSagaCall, sagaReply, type SagaCall } from '../protocol/wire.ts';

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
  /** By topic. */
  readonly handlers: ReadonlyMap<string, ParticipantHandler<Tx>>;
  readonly executorOf: (tx: Tx) => SqlExecutor;
  readonly lend: (tx: Tx) => LentTransaction<Tx>;
  readonly maxBytes: number;
  /** Topics that may be replied on. */
  readonly replyTopics: readonly string[];
  readonly log: Logger;
  readonly calls: Counter<'participant' | 'topic' | 'outcome'>;
}

/** The payload of a message. */
export interface ReceivedPayload {
  /** As its handler gets it. */
  readonly payload: unknown;
  /** As it came, as JSON text. */
  readonly text: string;
}

interface CallWork<Tx> extends ReceivedPayload {
  readonly participant: ParticipantContext<Tx>;
  readonly handler: ParticipantHandler<Tx>;
  readonly context: HandlerContext<Tx>;
  readonly execute: SqlExecutor;
}

const SAVEPOINT = 'SAVEPOINT holdfast_call';
const ROLLBACK_CALL = 'ROLLBACK TO SAVEPOINT holdfast_call';

/** Rejects with whatever is to fail the delivery; refusals that are answered are no failures. */
export async function answerMessage<Tx>(
  participant: ParticipantContext<Tx>,
  handler: ParticipantHandler<Tx>,
  received: ReceivedPayload,
  context: HandlerContext<Tx>,
): Promise<void> {
  const saga = readSagaCall(context.message.headers);
  const work: CallWork<Tx> = {
    ...received,
    participant,
    handler,
    context,
    execute: participant.executorOf(context.tx),
  };
  if (saga === null) {
    // No call, so no record of one: what it would compensate is told by the message alone.
    if (handler.compensates !== null && handler.withoutRecord === 'refuse') throw forGood(noRecord(handler.topic));
    await runHandler(work, null, { command: null, reply: null });
    count(work, 'by hand');
    return;
  }
  if (!participant.replyTopics.includes(saga.replyTo))
    throw forGood(foreignReplyTopic(participant.name, saga.replyTo, participant.replyTopics));
  const [answer, outcome] =
    saga.role === 'command' ? await answerCommand(work, saga) : await answerCompensation(work, saga);
  await context.send(sagaReply(saga.replyTo), { runId: saga.runId, call: saga.call, to: saga.role, ...answer });
  count(work, outcome);
}

type Answered = readonly [Answer, AnswerOutcome];

async function answerCommand<Tx>(work: CallWork<Tx>, saga: SagaCall): Promise<Answered> {
  const { participant, handler, context, execute, text } = work;
  const { store } = participant;
  const { topic, version } = context.message;
  if (handler.compensates !== null) {
    const error = notACommand(participant.name, topic);
    participant.log.error({ err: error, runId: saga.runId, call: saga.call }, 'a command cannot be carried out');
    return [refusal(error), 'rejected'];
  }
  if (!(await store.claim(execute, saga, { topic, version, text }))) {
    return [decideRepeated(await lockExisting(work, saga), handler.topic), 'repeated'];
  }
  await execute(SAVEPOINT, []);
  const result = await runRefusable(work, saga, { command: null, reply: null });
  const answer = result.kind === 'refused' ? refusal(result.error) : await encodeAnswer(work, result.value);
  if (result.kind === 'refused') await execute(ROLLBACK_CALL, []);
  await settled(handler.topic, () => store.settle(execute, saga, answer.outcome, answer));
  return [answer, answer.outcome];
}

async function answerCompensation<Tx>(work: CallWork<Tx>, saga: SagaCall): Promise<Answered> {
  const { participant, handler, execute } = work;
  const { store } = participant;
  if (handler.compensates === null) {
    const error = notACompensation(participant.name, handler.topic);
    participant.log.error({ err: error, runId: saga.runId, call: saga.call }, 'a compensation cannot be carried out');
    return [refusal(error), 'rejected'];
  }
  const { topic } = handler.compensates;
  const known = saga.outcome ?? 'unknown';
  let decision = decideCompensation(await store.lock(execute, saga), topic, known);
  if (decision.do === 'write tombstone') {
    if (await store.insertWithoutCommand(execute, saga, 'tombstone')) return [DONE, 'tombstone'];
    decision = decideCompensation(await lockExisting(work, saga), topic, known);
    if (decision.do === 'write tombstone') throw movedOn(saga);
  }
  if (decision.do === 'answer') {
    const refused = decision.answer.outcome === 'rejected';
    if (refused)
      participant.log.error(
        { runId: saga.runId, call: saga.call, answer: decision.answer },
        'a compensation does not fit its call',
      );
    return [decision.answer, refused ? 'rejected' : 'nothing'];
  }
  const mismatch = mismatchOf(work, saga, decision);
  if (mismatch !== null) {
    participant.log.error(
      { err: mismatch, runId: saga.runId, call: saga.call },
      'a compensation does not fit its call',
    );
    return [refusal(mismatch), 'rejected'];
  }
  await execute(SAVEPOINT, []);
  const record = await recordFor(work, saga, decision);
  if (record === null) throw movedOn(saga);
  const result = await runRefusable(work, saga, record);
  if (result.kind === 'refused') {
    await execute(ROLLBACK_CALL, []);
    return [refusal(result.error), 'rejected'];
  }
  if (decision.do === 'compensate') await settled(handler.topic, () => store.compensated(execute, saga));
  return [DONE, 'compensated'];
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

/** What the handler is told of the command. Null when another transaction has meanwhile written the record that was missing. */
async function recordFor<Tx>(
  { participant, handler, execute }: CallWork<Tx>,
  saga: SagaCall,
  decision: Compensating,
): Promise<Record | null> {
  if (decision.do === 'compensate without record') {
    if (!(await participant.store.insertWithoutCommand(execute, saga, 'compensated'))) return null;
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

/** The record that a moment ago kept ours from being written. */
async function lockExisting<Tx>({ participant, execute }: CallWork<Tx>, saga: SagaCall): Promise<CallRow> {
  const row = await participant.store.lock(execute, saga);
  if (row === null) throw movedOn(saga);
  return row;
}

/** Only pruning deletes records, and only a refused compensation takes one back: rare, and over at the next attempt. */
function movedOn({ call }: SagaCall): HoldfastError {
  return new HoldfastError('HF_NOT_FOUND', `The record of the call ${call} changed at this very moment.`, {
    advice: 'Nothing is lost: the message is handled again.',
  });
}

type Result =
  | { readonly kind: 'returned'; readonly value: unknown }
  | { readonly kind: 'refused'; readonly error: unknown };

/** A definite no, Rejection or PermanentError, becomes a result: what the handler wrote is to be compensated and nothing else. */
async function runRefusable<Tx>(work: CallWork<Tx>, saga: SagaCall, record: Record): Promise<Result> {
  try {
    return { kind: 'returned', value: await runHandler(work, saga, record) };
  } catch (error) {
    if (isHoldfastError(error, 'HF_REJECTED') || isHoldfastError(error, 'HF_PERMANENT'))
      return { kind: 'refused', error };
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

/** Says what went wrong when the handler swallowed an error that had aborted the transaction. */
async function settled(topic: string, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (cause) {
    if (sqlStateOf(cause) !== '25P02') throw cause;
    throw new HoldfastError(
      'HF_TRANSACTION_ABORTED',
      `The handler of ${topic} resolved, but a statement in its transaction had failed, so nothing could be committed.`,
      { cause, advice: 'Let the error out of the handler, or put the statement into a savepoint.' },
    );
  }
}

function count<Tx>({ participant, handler }: CallWork<Tx>, outcome: AnswerOutcome): void {
  participant.calls.inc({ participant: participant.name, topic: handler.topic, outcome });
}
