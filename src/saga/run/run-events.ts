/**
 * What happens to a run, and what a run has begun: the words between the engine, the decisions and the attempts.
 */
import type { RecordedError, StuckWhy, Uncounted, CompensationReason } from '../journal/events.ts';
import type { CallState } from '../journal/state.ts';
import type { RunMessage } from '../store/store.ts';

/** How an attempt of a step ended. */
export type AttemptResult =
  | { readonly kind: 'done'; readonly output: string | undefined }
  | {
      readonly kind: 'failed';
      readonly error: RecordedError;
      /** No further attempt can help. */
      readonly permanent: boolean;
      /** Whether it may have happened all the same. */
      readonly doubt: boolean;
      /** Nobody throws that on purpose (bugs.ts). */
      readonly bug?: boolean;
      /** The infrastructure cut it short: no attempt is used up. */
      readonly uncounted?: Uncounted;
      /** The connection of its transaction broke under it; only with `uncounted`. */
      readonly broken?: boolean;
      /** The database refuses its record, for its data. */
      readonly unrecordable?: boolean;
    };

export type FailedResult = Extract<AttemptResult, { kind: 'failed' }>;

/** What verify() found out, or why it could not. */
export type Verification =
  | { readonly happened: boolean; readonly output: string | undefined }
  | {
      readonly error: RecordedError;
      /** Asking again can help. */
      readonly passing: boolean;
    };

/** Why a run cannot go on with this code. */
export interface Mismatch {
  readonly why: Extract<StuckWhy, 'non-determinism' | 'outside await' | 'undefined step'>;
  readonly call: CallState | null;
  readonly error: RecordedError;
  /** Of a call that has started a child: it is none where any worker goes on with that. */
  readonly child?: string;
}

/** What happened and has not been taken in. */
export type RunEvent =
  | { readonly kind: 'attempt'; readonly call: CallState; readonly result: AttemptResult }
  /** A message that nobody answers is written with its call. */
  | { readonly kind: 'sent'; readonly call: CallState }
  /** A signal is kept for this wait. */
  | { readonly kind: 'signalled'; readonly call: CallState }
  | {
      readonly kind: 'fallback';
      readonly call: CallState;
      readonly failure: FailedResult;
      readonly result: AttemptResult;
    }
  | { readonly kind: 'compensation'; readonly call: CallState; readonly result: AttemptResult }
  | {
      readonly kind: 'verified';
      readonly call: CallState;
      readonly result: Verification;
    }
  /** A transaction step is committed, with its row of the journal. */
  | {
      readonly kind: 'transacted';
      readonly call: CallState;
      readonly of: 'done' | 'compensated';
      readonly output: string | undefined;
    }
  | { readonly kind: 'message'; readonly runMessage: RunMessage }
  | { readonly kind: 'due' }
  /** An attempt with which workers died may be made now, once it is announced. */
  | { readonly kind: 'try'; readonly call: CallState }
  /** The code of a new run has run up to its first await. */
  | { readonly kind: 'begun' };

/** A cancellation, or a parent that takes its child back. */
export function isRevocation(runEvent: RunEvent): boolean {
  return (
    runEvent.kind === 'message' &&
    (runEvent.runMessage.body.kind === 'cancel' || runEvent.runMessage.body.kind === 'undo')
  );
}

/** What is begun once the intent is durable. */
export type Intent =
  | { readonly kind: 'attempt'; readonly call: CallState }
  | {
      readonly kind: 'fallback';
      readonly call: CallState;
      readonly failure: FailedResult;
    }
  | { readonly kind: 'compensate'; readonly call: CallState }
  | { readonly kind: 'verify'; readonly call: CallState };

export interface CompensationRequest {
  readonly reason: CompensationReason;
  readonly error: RecordedError | undefined;
  readonly actor: string | undefined;
  /** The message that asked for it; taken in when it is granted. */
  readonly runMessage: RunMessage | null;
  /** The request before it, which waits with it. */
  readonly before?: CompensationRequest | null;
}

/** What decisions are given beside the run. */
export interface DecisionContext {
  /** The store's time. */
  readonly now: number;
  readonly random: () => number;
}
