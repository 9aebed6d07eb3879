/**
 * The messages of a run: commands, compensations of commands, and what is emitted, made ready for the outbox with the headers that
 * participants answer by.
 */
import { encodePayload } from '../../message/payload.ts';
import type { MessageType } from '../../message/message-type.ts';
import { laneOf } from '../../outbox/lane.ts';
import { messageText, prepareMessage } from '../../outbox/prepare.ts';
import { wireCall } from '../definition/call-id.ts';
import { raisedInput } from '../journal/recorded-values.ts';
import { valueOf, type CallState } from '../journal/state.ts';
import type { CommandStep, EmitStep } from '../definition/steps.ts';
import { knownAsDone, compensationOf } from '../journal/compensation.ts';
import { writeSagaCall } from './wire.ts';

/** What is needed to know of the run. */
export interface Sender {
  readonly id: string;
  readonly settings: {
    /** Most UTF-8 bytes of one value as JSON. */
    readonly maxBytes: number;
    /** The topic on which replies are expected. */
    readonly replyTo: string;
  };
}

export interface CommandRequest {
  readonly call: string;
  readonly definition: CommandStep | EmitStep;
  /** JSON of the call's input. */
  readonly input: string | undefined;
  /** Under which it was recorded; absent: just now. */
  readonly version?: number | null;
}

/** JSON text for write_outbox. Rejects with what is wrong with the payload. */
export async function prepareCommand(sender: Sender, request: CommandRequest): Promise<string> {
  const { definition, input } = request;
  const type = definition.kind === 'command' ? definition.command : definition.message;
  const headers =
    definition.kind === 'command'
      ? writeSagaCall({
          runId: sender.id,
          call: request.call,
          role: 'command',
          replyTo: sender.settings.replyTo,
          outcome: null,
        })
      : undefined;
  return prepare(sender, type, raisedInput(definition, request.version ?? null, valueOf(input)), headers);
}

/** The message that compensates a call. Rejects as well with what the user's `payload` throws. */
export async function prepareCompensation(
  sender: Sender,
  definition: CommandStep | EmitStep,
  call: CallState,
): Promise<string | null> {
  if (definition.compensate === null) return null;
  const done = knownAsDone(call);
  const payload = definition.compensate.payload(compensationOf(sender.id, call, definition));
  const headers =
    definition.kind === 'command'
      ? writeSagaCall({
          runId: sender.id,
          call: wireCall(call),
          role: 'compensation',
          replyTo: sender.settings.replyTo,
          outcome: done ? 'done' : 'unknown',
        })
      : undefined;
  return prepare(sender, definition.compensate.message, payload, headers);
}

async function prepare(
  sender: Sender,
  type: MessageType,
  payload: unknown,
  headers: Readonly<Record<string, string>> | undefined,
): Promise<string> {
  const options = { correlationId: sender.id, ...(headers === undefined ? {} : { headers }) };
  const prepared = await prepareMessage(
    { type, payload, options },
    { source: undefined, maxBytes: sender.settings.maxBytes, where: type.topic },
  );
  // In order by run, where the type says nothing else: a compensation then follows its command.
  return messageText(prepared.key === null ? { ...prepared, key: sender.id, lane: laneOf(sender.id) } : prepared);
}

/** JSON of a value that a step or a reply gave; undefined when it gave none. Throws HF_PAYLOAD_NOT_JSON and the like. */
export function encodeOutput(value: unknown, maxBytes: number, where: string): string | undefined {
  return value === undefined ? undefined : encodePayload(value, { maxBytes, where });
}
