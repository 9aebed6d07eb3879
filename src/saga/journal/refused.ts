/** What was let in and came too late, as it is kept beside the run for whoever asks how it is doing. Pure. */
import type { JournalEvent } from './events.ts';

/**
 * What was let in and then came too late, so that it has changed nothing: a cancellation or a deadline behind the pivot or the end, a signal
 * after the end, an act of a person on what was no longer stuck there.
 */
export interface RefusedAct {
  readonly what: 'cancel' | 'deadline' | 'signal' | 'retry' | 'skip' | 'resolve';
  /** Of a signal. */
  readonly name?: string;
  readonly reason?: string;
  /** Who wanted it. */
  readonly actor?: string;
}

/** Most of it that is told of beside the journal. */
const MOST_REFUSED = 20;

/** With one more, and without the oldest when there are too many. */
export function withRefused(
  before: readonly RefusedAct[],
  { t: _, ...act }: Extract<JournalEvent, { t: 'refused' }>,
): readonly RefusedAct[] {
  return [...before.slice(1 - MOST_REFUSED), act];
}
