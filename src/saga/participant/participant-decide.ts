/**
 * Decides what a participant does with a command or a compensation whose record it has read. Pure functions.
 */
import { HoldfastError, Rejection } from '../../errors.ts';
import type { Answer, CallRow, StoredCommand } from './participant-store.ts';
import { recordError } from '../journal/recorded-error.ts';

export const DONE: Answer = { outcome: 'done' };

export function refusal(error: unknown): Extract<Answer, { outcome: 'rejected' }> {
  const { name, message, code, details } = recordError(error);
  return {
    outcome: 'rejected',
    error: {
      name,
      message,
      ...(code === undefined ? {} : { code: String(code) }),
      ...(details === undefined ? {} : { details: { ...details } }),
    },
  };
}

/**
 * The answer to a command whose call is on record: it was sent again, or its compensation came first.
 * @param topic of the command that has come
 */
export function decideRepeated(row: CallRow, topic: string): Answer {
  switch (row.state) {
    case 'tombstone':
    case 'compensated':
      return refusal(
        new Rejection('compensated', {
          advice:
            row.state === 'tombstone'
              ? 'Its compensation came first, and it must not happen any more.'
              : 'It was done, and has been compensated since.',
        }),
      );
    case 'done':
    case 'rejected':
      if (row.command !== null && row.command.topic !== topic) return refusal(otherCommand(topic, row.command.topic));
      return row.reply ?? refusal(new HoldfastError('HF_NOT_FOUND', `The answer to ${topic} is not on record.`));
  }
}

export type CompensationDecision =
  | { readonly do: 'answer'; readonly answer: Answer }
  /** Compensate what the record tells. */
  | { readonly do: 'compensate'; readonly command: StoredCommand | null; readonly reply: Answer | null }
  /** The saga says that it has seen the command done, but there is no record of it: only the message tells what to compensate. */
  | { readonly do: 'compensate without record' }
  /** The command has not come: write a tombstone, so that it is refused when it comes. */
  | { readonly do: 'write tombstone' };

/**
 * @param row null when there is none
 * @param compensates topic of the command that it compensates
 * @param outcome what the saga knows of the command
 */
export function decideCompensation(
  row: CallRow | null,
  compensates: string,
  outcome: 'done' | 'unknown',
): CompensationDecision {
  if (row === null) return { do: outcome === 'done' ? 'compensate without record' : 'write tombstone' };
  // The record is what has happened here, whatever the saga was told.
  if (row.state !== 'done') return { do: 'answer', answer: DONE };
  if (row.command !== null && row.command.topic !== compensates)
    return { do: 'answer', answer: refusal(otherCommand(compensates, row.command.topic)) };
  return { do: 'compensate', command: row.command, reply: row.reply };
}

function otherCommand(topic: string, recorded: string): HoldfastError {
  return new HoldfastError('HF_SAGA_DEFINITION', `The call is on record as ${recorded}, not as ${topic}.`, {
    advice: 'Run and call together must name one command only; pair each command with the compensation of its own.',
    details: { topic, recorded },
  });
}

/** A compensation that is handled as a command would find its own call on record, and compensate nothing. */
export function notACompensation(participant: string, topic: string): HoldfastError {
  return new HoldfastError(
    'HF_SAGA_DEFINITION',
    `The saga sends ${topic} as a compensation, but participant ${participant} handles it as a command.`,
    { advice: `Write handle(…, { compensates: … }, …) for ${topic}.`, details: { participant, topic } },
  );
}

/** Nothing but the message says that there is something to compensate, and messages can be forged. */
export function noRecord(topic: string): HoldfastError {
  return new HoldfastError('HF_NOT_ON_RECORD', `There is no record of the command that ${topic} is to compensate.`, {
    advice:
      'Compensate it by hand and settle the call; raise callRetention when it was pruned. With handle(…, { withoutRecord: "compensate" }) such messages are taken at their word.',
    details: { topic },
  });
}

/** @param names of properties */
export function strangePayload(topic: string, names: readonly string[]): HoldfastError {
  const shown = names.slice(0, 10).map((name) => JSON.stringify(name.slice(0, 100)));
  return new HoldfastError(
    'HF_NOT_ON_RECORD',
    `${topic} asks for what the command that it compensates does not have on record: ${shown.join(', ')}.`,
    {
      advice:
        'Take them from the command and reply of the context, or name in handle(…, { fromMessage: […] }) what the message may say freely.',
      details: { topic, properties: names.slice(0, 10) },
    },
  );
}

/** A compensation's handler that is run for a command would compensate what nobody has done. */
export function notACommand(participant: string, topic: string): HoldfastError {
  return new HoldfastError(
    'HF_SAGA_DEFINITION',
    `${topic} came as a command, but participant ${participant} handles it as a compensation.`,
    {
      advice: `To send it as a command as well, handle it in a participant of its own, without compensates.`,
      details: { participant, topic },
    },
  );
}

/** The reply would be written with the rights of the participant, to whatever topic the message names. */
export function foreignReplyTopic(participant: string, topic: string, allowed: readonly string[]): HoldfastError {
  return new HoldfastError(
    'HF_REPLY_TOPIC',
    `A message asks for its reply on ${JSON.stringify(topic.slice(0, 200))}, but participant ${participant} replies on ${allowed.join(', ')} only.`,
    { advice: 'Name the topic in replyTopics if it is one of yours.', details: { participant, allowed } },
  );
}
