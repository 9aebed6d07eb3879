/**
 * The record of a call as it is kept when a codec is given: the payload of the command, and of the answer all but its outcome and the version
 * of its output. Each is bound to participant, run and call. Pure.
 */
import { openText, type PayloadCodec } from '../../message/codec.ts';
import type { SagaCall } from '../protocol/wire.ts';
import type { Answer, CallId, ClosingCall, EnteredCall, EnteringCall } from './participant-store.ts';

/** Whose records they are. */
interface Keeper {
  readonly name: string;
  /** null: they are kept as they are, and what others have encrypted cannot be opened. */
  readonly codec: PayloadCodec | null;
}

function placeOf({ name }: Keeper, { runId, call }: CallId, what: 'command' | 'answer'): string {
  return `call:${name}:${runId.toLowerCase()}:${call}:${what}`;
}

/** A call as it is entered: its command is not readable. */
export function encryptEntering(entering: EnteringCall, keeper: Keeper): EnteringCall {
  const { command, runId, call } = entering;
  if (keeper.codec === null || command === null || runId === null || call === null) return entering;
  const text = keeper.codec.encode(command.text, placeOf(keeper, { runId, call }, 'command'));
  return { ...entering, command: { ...command, text } };
}

/** The answer that stands in a record, whatever is answered. */
interface KeptAnswer {
  readonly outcome: Answer['outcome'];
  readonly encrypted?: unknown;
}

export function encryptChange(change: ClosingCall['change'], keeper: Keeper, id: CallId): ClosingCall['change'] {
  if (keeper.codec === null || change === null || !('answer' in change)) return change;
  const text = keeper.codec.encode(JSON.stringify(change.answer), placeOf(keeper, id, 'answer'));
  const kept: KeptAnswer = { outcome: change.answer.outcome, encrypted: JSON.parse(text) as unknown };
  return { ...change, answer: kept as Answer };
}

/**
 * A record as it was found, to be read.
 * @throws HoldfastError HF_PAYLOAD_ENCRYPTED
 */
export function openEntered(entered: EnteredCall, keeper: Keeper, saga: SagaCall | null): EnteredCall {
  if (entered.finding !== 'known' || saga === null) return entered;
  const { command, reply, state } = entered.row;
  // Most are not, and need not be parsed for that.
  const isPlain = command === null || !command.text.includes('"$enc"');
  const commandText = isPlain
    ? null
    : openText(JSON.parse(command.text), keeper.codec, placeOf(keeper, saga, 'command'));
  const replyText = openText((reply as KeptAnswer | null)?.encrypted, keeper.codec, placeOf(keeper, saga, 'answer'));
  return {
    finding: 'known',
    row: {
      state,
      command: command === null || commandText === null ? command : { ...command, text: commandText },
      reply: replyText === null ? reply : (JSON.parse(replyText) as Answer),
    },
  };
}
