/**
 * The half of an outbox that makes a message ready without writing it, for those of the house that write it in a statement of their own,
 * together with other things. An outbox that somebody has wrapped has none: what it does to a message can only be had by its `send`.
 */
import type { MessageType, PayloadInput } from '../message/message-type.ts';
import type { PreparedMessage } from './prepare.ts';
import type { SendOptions } from './send-options.ts';

export interface Preparer {
  /** Where the outbox writes. */
  readonly schema: string;
  /** Rejects as `send` does of a message that is wrong. */
  prepare<Type extends MessageType>(
    type: Type,
    payload: PayloadInput<Type>,
    options: SendOptions,
  ): Promise<PreparedMessage>;
}

const preparers = new WeakMap<object, Preparer>();

export function notePreparer<Outbox extends object>(outbox: Outbox, preparer: Preparer): Outbox {
  preparers.set(outbox, preparer);
  return outbox;
}

/** Null for an outbox that was not made by createOutbox. */
export function preparerOf(outbox: object): Preparer | null {
  return preparers.get(outbox) ?? null;
}
