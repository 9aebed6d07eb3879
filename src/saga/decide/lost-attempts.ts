/** What may have been under way in a worker that was lost, as long as the journal does not account for it. Pure. */
import { isSuspect, type Spent } from '../journal/budget.ts';
import { lapsesAfter } from '../journal/losses.ts';
import type { Run } from '../run/run.ts';

/** Whether a worker was lost with the run since it was last recorded as recovered: a run that is stuck, or does not fit, is not. */
export function lostItsWorker({ lost, state }: Pick<Run, 'lost' | 'state'>): boolean {
  return lost > state.lost;
}

/** How many of the losses in a row, this one among them, were lapses. */
export function lapsesOf(run: Pick<Run, 'lost' | 'lapsed'>, { lost }: Spent): number {
  return lapsesAfter(run, run.lost - lost - 1);
}

/** A suspect attempt is announced before it begins: without that it has not begun. */
export function mayHaveBegun({ spent }: { readonly spent: Spent }): boolean {
  return !isSuspect(spent) || spent.trying;
}
