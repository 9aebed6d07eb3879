/**
 * Losses of a run: each time its worker had it in hand and the lease was over. Whether the worker died is not known then: one that stood still,
 * starved of processor time, or that could not reach the database, says so when it goes on. Such a lapse counts half a death, for it may be the
 * code that makes its workers stand still. Pure.
 */
import type { JournalRow } from './events.ts';

export interface RunLosses {
  /** How many until now. */
  readonly lost: number;
  /** The numbers, from 1 on, of those after which the worker was heard of, as far as that is known. */
  readonly lapsed?: readonly number[] | undefined;
}

/** How many of the losses after that one were lapses. */
export function lapsesAfter({ lost, lapsed = [] }: RunLosses, after: number): number {
  return lapsed.filter((n) => n > after && n <= lost).length;
}

/** What losses weigh. */
export function deathsIn(losses: number, lapses: number): number {
  return losses - lapses / 2;
}

/** The last loss after which something was recorded, other than that it is tried alone. */
export function accountedFor(journal: readonly JournalRow[]): number {
  let accounted = 0;
  for (const { events } of journal)
    for (const event of events) if (event.t === 'recovered' && event.alone !== true) accounted = event.lost;
  return accounted;
}
