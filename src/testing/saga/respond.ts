/**
 * How a test says what participants answer: `respond(ReserveStock, (command) => ({ reservationId: 'r-1' }))`. The answers that are no
 * plain replies are made by `reject`, `silence`, `lost`, `later` and `twice`. Carried out by scripted-participants.ts.
 */
import { HoldfastError, Rejection } from '../../errors.ts';
import type { MessageType, PayloadOf } from '../../message/message-type.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';

/** What a scripted participant is given. See {@link respond}. */
export interface RespondContext {
  /** How often this piece of work has reached the script, from 1 on. */
  readonly attempt: number;
  readonly runId: string;
  readonly call: string;
  /** As a real participant has it. */
  readonly idempotencyKey: string;
}

/** What a script gives back: the reply, or one of the answers below, or a promise of either. */
export type Script<Command> = (command: Command, context: RespondContext) => unknown;

/** Made by `respond`. */
export interface Responder {
  readonly type: MessageType;
  readonly script: (command: unknown, context: RespondContext) => unknown;
}

/**
 * Answers commands of a type, or compensations. The script is run as a participant's handler is: once for each call of a run, however
 * often it is asked for; a compensation only if there is something to compensate, and a command that comes after its compensation never.
 *
 * @param script a function, or the answer that is always given
 * @example
 * const stock = respond(ReserveStock, ({ orderId }) => (orderId === 'o-1' ? { shelf: 'a' } : reject('sold out')));
 */
export function respond<Type extends MessageType>(type: Type, script: Script<PayloadOf<Type>> | object): Responder {
  if (typeof type?.keyOf !== 'function')
    throw new HoldfastError('HF_CONFIG', 'respond is given no message type.', {
      advice: 'Write respond(ReserveStock, (command) => ({ … })).',
    });
  return { type, script: typeof script === 'function' ? (script as Responder['script']) : () => script };
}

const ANSWER = Symbol('holdfast.answer');

export type ScriptedAnswer =
  | { readonly kind: 'reject'; readonly error: Rejection }
  | { readonly kind: 'silence' }
  | { readonly kind: 'lost'; readonly answer: unknown }
  | { readonly kind: 'later'; readonly delayMs: number; readonly answer: unknown }
  | { readonly kind: 'twice'; readonly answer: unknown };

interface Marked {
  readonly [ANSWER]: ScriptedAnswer;
}

const marked = (answer: ScriptedAnswer): object => ({ [ANSWER]: answer }) satisfies Marked;

/**
 * A definite no; nothing has happened. The same as throwing a Rejection.
 *
 * @example
 * const stock = respond(ReserveStock, () => reject('sold out'));
 */
export function reject(reason: string): object {
  return marked({ kind: 'reject', error: new Rejection(reason) });
}

/**
 * The message got lost on its way, or nobody is there: nothing has happened and nothing is answered.
 *
 * @example
 * const stock = respond(ReserveStock, () => silence());
 */
export function silence(): object {
  return marked({ kind: 'silence' });
}

/**
 * Done, or refused, but this once the reply gets lost. The next one for the same call is answered from the record.
 *
 * @example
 * const stock = respond(ReserveStock, () => lost({ shelf: 'a' }));
 */
export function lost(answer?: unknown): object {
  return marked({ kind: 'lost', answer });
}

/**
 * Done, or refused, now; the reply comes after `delay`.
 *
 * @example
 * const stock = respond(ReserveStock, () => later('1h', { shelf: 'a' }));
 */
export function later(delay: Duration, answer?: unknown): object {
  return marked({ kind: 'later', delayMs: parseDuration(delay, 'later'), answer });
}

/**
 * The reply comes twice.
 *
 * @example
 * const stock = respond(ReserveStock, () => twice({ shelf: 'a' }));
 */
export function twice(answer?: unknown): object {
  return marked({ kind: 'twice', answer });
}

/** Null for a plain reply. */
export function scriptedAnswer(value: unknown): ScriptedAnswer | null {
  return typeof value === 'object' && value !== null && ANSWER in value ? (value as Marked)[ANSWER] : null;
}
