/**
 * The record of a call, kept in the statements that open and end the transaction of its message: how a participant's handlers are handlers
 * of a consumer.
 */
import { abortedBy } from '../../inbox/handlers/client-transaction.ts';
import { on, type HandlerContext, type RecordingHandler } from '../../inbox/handlers/handler.ts';
import type { OpenRecord, RecordedMessage, Recording } from '../../inbox/handlers/recording.ts';
import type { Statement, StatementResult } from '../../inbox/handlers/unit-of-work.ts';
import { payloadText } from '../../message/decode.ts';
import type { Envelope } from '../../message/envelope.ts';
import { explainTaken } from '../../outbox/outbox.ts';
import { sqlStateOf, translateSqlError } from '../../postgres/sql-state.ts';
import { callKey, readSagaCall } from '../protocol/wire.ts';
import { answerMessage, fitsHandler, type ParticipantContext, type ReceivedCall } from './answer-message.ts';
import { encryptEntering, openEntered } from './encrypted-record.ts';
import type { ParticipantHandler } from './handle.ts';
import { explainGone, type ClosingCall, type EnteredCall, type EnteringCall } from './participant-store.ts';

/** The handlers as a consumer takes them; there they are of kind exactly-once, which the record of the call is made for. */
export function consumable<Tx>(participant: ParticipantContext<Tx>): readonly RecordingHandler<Tx>[] {
  // One for all of them, by which a consumer knows that their messages may be recorded in one statement.
  const recording = new CallRecording(participant);
  return [...participant.handlers.values()].map((handler) => recordingHandler(handler, recording));
}

function recordingHandler<Tx>(
  { type, options }: ParticipantHandler<Tx>,
  recording: CallRecording<Tx>,
): RecordingHandler<Tx> {
  const made = on(type, () => undefined, {
    ...(options.retry === undefined ? {} : { retry: options.retry }),
    ...(options.timeout === undefined ? {} : { timeout: options.timeout }),
  });
  return {
    ...made,
    kind: 'exactly-once',
    decode: async (envelope, wire): Promise<ReceivedCall> => ({
      payload: await made.decode(envelope, wire),
      text: payloadText(envelope, wire),
      saga: readSagaCall(envelope.headers),
    }),
    run() {
      throw new TypeError('A participant answers with the record of the call, not without.');
    },
    recording,
  };
}

class CallRecording<Tx> implements Recording<HandlerContext<Tx>> {
  readonly #participant: ParticipantContext<Tx>;

  constructor(participant: ParticipantContext<Tx>) {
    this.#participant = participant;
  }

  openStatement(messages: readonly RecordedMessage[], marked: boolean): Statement {
    const participant = this.#participant;
    const calls = messages.map((message) =>
      encryptEntering(enteringCall(this.#handlerOf(message.envelope), message), participant),
    );
    return participant.store.enter(calls, marked);
  }

  readOpened(result: StatementResult): readonly (EnteredCall | null)[] {
    return this.#participant.store.readEntered(result);
  }

  apartBy({ headers }: Envelope): string | null {
    return callKey(headers);
  }

  withdraw(found: object, { payload }: RecordedMessage): object | null {
    const { saga } = payload as ReceivedCall;
    const entered = found as EnteredCall;
    if (saga === null || entered.finding !== 'new' || entered.state === null) return null;
    const { runId, call } = saga;
    return { runId, call, change: { state: 'withdrawn' }, reply: null } satisfies ClosingCall;
  }

  closeStatements(closings: readonly object[]): readonly Statement[] {
    return [this.#participant.store.end(closings as readonly ClosingCall[])];
  }

  explainClosing(error: unknown, { envelope, payload }: RecordedMessage): Error | undefined {
    const { saga } = payload as ReceivedCall;
    // After an error that the handler swallowed.
    if (sqlStateOf(error) === '25P02') return abortedBy(envelope.topic, error);
    return explainGone(error, saga?.call ?? '') ?? explainTaken(error) ?? translateSqlError(error);
  }

  run(given: unknown, context: HandlerContext<Tx>, record: OpenRecord): unknown {
    const received = given as ReceivedCall;
    return answerMessage({
      ...received,
      participant: this.#participant,
      handler: this.#handlerOf(context.message),
      context,
      record,
      entered: openEntered(record.found as EnteredCall, this.#participant, received.saga),
    });
  }

  #handlerOf({ topic }: { readonly topic: string }): ParticipantHandler<Tx> {
    const handler = this.#participant.handlers.get(topic);
    if (handler === undefined)
      throw new TypeError(`A message of ${topic} came to a participant without a handler for it.`);
    return handler;
  }
}

function enteringCall<Tx>(handler: ParticipantHandler<Tx>, { envelope, payload }: RecordedMessage): EnteringCall {
  const { saga, text } = payload as ReceivedCall;
  const { id, topic, version } = envelope;
  if (saga === null || !fitsHandler(handler, saga))
    return { messageId: id, role: null, runId: null, call: null, command: null, withoutRow: null };
  const { runId, call, role } = saga;
  if (role === 'command')
    return { messageId: id, role, runId, call, command: { topic, version, text }, withoutRow: null };
  const taken = handler.withoutRecord === 'compensate' ? 'compensated' : null;
  // A command that was never answered may still come, and must then be refused.
  return { messageId: id, role, runId, call, command: null, withoutRow: saga.outcome === 'done' ? taken : 'tombstone' };
}
