/**
 * What is the same for all runs of a worker: limits, where replies are expected, and whom it tells.
 */
import type { PayloadCodec } from '../../message/codec.ts';
import type { Logger } from '../../runtime/log.ts';
import type { ErrorLists } from '../definition/bugs.ts';
import type { RecordedError } from '../journal/events.ts';
import type { JournalLimits } from '../journal/growth.ts';

/** What held the event loop, and how long, in milliseconds. */
export interface Holder {
  readonly run: string;
  readonly saga: string;
  readonly call: string;
  readonly ms: number;
}

export interface RunSettings extends JournalLimits {
  /** Most UTF-8 bytes of one value as JSON. */
  readonly maxBytes: number;
  /** The topic on which replies are expected. */
  readonly replyTo: string;
  /** What counts as a bug where a saga does not say it itself. */
  readonly errors?: ErrorLists | null | undefined;
  /** What is left of an error before it is recorded; default: all that recordError keeps. */
  readonly redactError?: ((error: RecordedError) => RecordedError) | undefined;
  /** Makes payloads of the run's messages unreadable; absent or null: they are sent as they are. */
  readonly codec?: PayloadCodec | null | undefined;
  /** Told of a step that kept the event loop for itself. */
  readonly onHeld?: ((holder: Holder) => void) | undefined;
  /** For what nobody else can be told. */
  readonly log?: Logger | undefined;
}
