/**
 * What a handler may keep of each message beside the mark: a record, opened in the text that opens the transaction and completed in the one
 * that commits it, so that it costs no exchange of its own. Participants keep the records of calls so. Not for users: `on` makes handlers
 * without.
 */
import type { Envelope } from '../../message/envelope.ts';
import type { Statement, StatementResult } from './unit-of-work.ts';

export interface RecordedMessage {
  readonly envelope: Envelope;
  /** As the handler's `decode` gave it. */
  readonly payload: unknown;
}

/**
 * One object for all handlers whose messages may be recorded together.
 * @typeParam Context what handlers are given beside the payload
 */
export interface Recording<Context> {
  /**
   * One statement that marks each message and opens its record. Of a message that has a mark already it writes nothing, because other
   * messages may share the transaction, which is then committed.
   * @param marked whether other statements of this transaction have written the marks: then it opens records alone
   */
  openStatement(messages: readonly RecordedMessage[], marked: boolean): Statement;
  /** What `openStatement` found, in the order of its messages; null for a duplicate. */
  readOpened(result: StatementResult): readonly (object | null)[];
  /** Messages with the same text must not share a transaction: the later one must find what the earlier one committed. Null: with any. */
  apartBy(envelope: Envelope): string | null;
  /** What `close` is given for a message that is not handled in this transaction after all, so that its record is taken back; null: nothing. */
  withdraw(found: object, message: RecordedMessage): object | null;
  /** Statements that go out together with COMMIT, after everything else: for what was given to `close` by one message or by several. */
  closeStatements(closings: readonly object[]): readonly Statement[];
  /** What has failed when a closing statement is refused; undefined: nothing more is known than the driver says. */
  explainClosing(error: unknown, message: RecordedMessage): Error | undefined;
  /** Rejects with EffectRefused when what was written is to be taken back, and the message is handled all the same. */
  run(payload: unknown, context: Context, record: OpenRecord): unknown;
}

/** The record of one message while its handler runs. */
export interface OpenRecord {
  /** From `readOpened`. */
  readonly found: object;
  /**
   * The handler has run before and refused, and everything that it wrote is rolled back: `run` is to record the refusal, if what it finds
   * now still lets it, and not to run the handler again.
   */
  readonly refusal: EffectRefused | null;
  /** Has `closeStatements` write this. When the handler then rejects, it is not written. */
  close(closing: object): void;
}

/** What a handler's `run` rejects with so that its effect is rolled back and the refusal recorded. */
export class EffectRefused extends Error {
  override readonly name = 'EffectRefused';
  readonly reason: unknown;

  constructor(reason: unknown) {
    super('The handler refused the message.', { cause: reason });
    this.reason = reason;
  }
}
