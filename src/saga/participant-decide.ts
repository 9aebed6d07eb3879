/**
 * What a participant does with a command or a compensation whose record it has looked up: pure functions. Used by participant-work.ts,
 * which applies them.
 */
import { HoldfastError, Rejection } from '../errors.ts';
import type { Answer, CallRow, StoredCommand } from './participant-store.ts';
import { recordError } from './recorded-error.ts';

export const DONE: Answer = { outcome: 'done' };

export function refusal(error: unknown): Extract<Answer, { outcome: 'rejected' }> {
  const { name, message, code, details } = recordError(error);
  return {
    outcome: 'rejected',
    error: {
      name,
      message,
      ...(code === undefined ? {} : { code }),
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
              : 'It was done, and has been undone since.',
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
  /** Undo what the record tells. */
  | { readonly do: 'undo'; readonly command: StoredCommand | null; readonly reply: Answer | null }
  /** The saga has seen the command done, but the record is gone: undo from the payload alone. */
  | { readonly do: 'undo blind' }
  /** The command has not come: see to it that it never will happen. */
  | { readonly do: 'bury' };

/**
 * @param row null when there is none
 * @param compensates topic of the command that it undoes
 * @param outcome what the saga knows of the command
 */
export function decideCompensation(
  row: CallRow | null,
  compensates: string,
  outcome: 'done' | 'unknown',
): CompensationDecision {
  if (row === null) return { do: outcome === 'done' ? 'undo blind' : 'bury' };
  // The record is what has happened here, whatever the saga was told.
  if (row.state !== 'done') return { do: 'answer', answer: DONE };
  if (row.command !== null && row.command.topic !== compensates)
    return { do: 'answer', answer: refusal(otherCommand(compensates, row.command.topic)) };
  return { do: 'undo', command: row.command, reply: row.reply };
}

function otherCommand(topic: string, recorded: string): HoldfastError {
  return new HoldfastError('HF_SAGA_DEFINITION', `The call is on record as ${recorded}, not as ${topic}.`, {
    advice: 'Run and call together must name one command only; pair each command with the compensation of its own.',
    details: { topic, recorded },
  });
}

/** A compensation that is handled as a command would find its own call on record, and undo nothing. */
export function notACompensation(participant: string, topic: string): HoldfastError {
  return new HoldfastError(
    'HF_SAGA_DEFINITION',
    `The saga sends ${topic} as a compensation, but participant ${participant} handles it as a command.`,
    { advice: `Write handle(…, { compensates: … }, …) for ${topic}.`, details: { participant, topic } },
  );
}
