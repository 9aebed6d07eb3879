/** What was let in and came too late, as it is kept beside the run for whoever asks how it is doing. Pure. Used by the fold (state.ts). */
import type { JournalEvent } from './events.ts';
import type { RefusedAct } from './store.ts';

/** Most of it that is told of beside the journal. */
const MOST_REFUSED = 20;

/** With one more, and without the oldest when there are too many. */
export function withRefused(
  before: readonly RefusedAct[],
  { t: _, ...act }: Extract<JournalEvent, { t: 'refused' }>,
): readonly RefusedAct[] {
  return [...before.slice(1 - MOST_REFUSED), act];
}
