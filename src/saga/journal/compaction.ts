/**
 * Which rows of a journal may go when a new one is written: those that hold nothing but failed attempts of calls of which a later one is
 * recorded. Each such event says the whole of what the ones before it said (how many attempts there were, when the next one is due), so
 * the state of the run is the same without them, and a call that is retried for weeks takes no more room than one that is retried for
 * minutes. Pure bookkeeping.
 */
import type { JournalEvent } from './events.ts';

/** The first attempts of a call are all kept, and its last one. */
export const ATTEMPTS_KEPT = 10;

/** What an event says of an attempt, if it is one that a later one may stand for. */
export function compactionKey(event: Pick<JournalEvent, 't'>): string | null {
  if (event.t !== 'attempt failed' && event.t !== 'compensation failed') return null;
  const { call, attempt } = event as Extract<JournalEvent, { t: 'attempt failed' | 'compensation failed' }>;
  return attempt > ATTEMPTS_KEPT ? `${event.t} ${call}` : null;
}

export class Compaction {
  /** By what the event is about: the row that holds the last one. */
  readonly #rowOf = new Map<string, number>();
  /** By row: how many of its events are still the last ones of their kind. */
  readonly #alive = new Map<number, { left: number; readonly events: number; readonly bytes: number }>();

  /**
   * A row is in the journal, or about to be. `keys`: the compactionKey of each of its events. Returns the rows that it stands for.
   */
  add(n: number, keys: readonly (string | null)[], bytes: number): readonly CompactedRow[] {
    if (keys.every((key) => key === null)) return [];
    const folded: CompactedRow[] = [];
    for (const key of keys) {
      if (key === null) continue;
      const row = this.#rowOf.get(key);
      this.#rowOf.delete(key);
      if (row === undefined || row === n) continue;
      const alive = this.#alive.get(row);
      if (alive === undefined) continue;
      alive.left -= 1;
      if (alive.left > 0) continue;
      this.#alive.delete(row);
      folded.push({ n: row, events: alive.events, bytes: alive.bytes });
    }
    // A row that says anything else is kept for that.
    const own = new Set(keys);
    if (own.has(null)) return folded;
    this.#alive.set(n, { left: own.size, events: keys.length, bytes });
    for (const key of own) if (key !== null) this.#rowOf.set(key, n);
    return folded;
  }
}

export interface CompactedRow {
  readonly n: number;
  readonly events: number;
  readonly bytes: number;
}
