/**
 * What a run is, folded from its journal. Pure: the same events always give the same state, in a worker, in a replay check and on the
 * command line.
 */
import type { JournalEvent } from '../journal/events.ts';
import type { RunState } from '../journal/state.ts';
import { CALL_FOLDS } from './fold-calls.ts';
import { COMPENSATION_FOLDS } from './fold-compensations.ts';
import type { Folds } from './folds.ts';
import { RUN_FOLDS } from './fold-run.ts';

const FOLDS: Folds = { ...RUN_FOLDS, ...CALL_FOLDS, ...COMPENSATION_FOLDS };

/** Folds one event in. `at`: the time of its row, in milliseconds. What it does not know is ignored: a journal is never refused as such. */
export function apply(state: RunState, event: JournalEvent, at: number): void {
  state.events += 1;
  const fold = FOLDS[event.t] as ((state: RunState, event: JournalEvent, at: number) => void) | undefined;
  fold?.(state, event, at);
}
