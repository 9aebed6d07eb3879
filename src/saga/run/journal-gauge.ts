/**
 * How large the journal of one run is: what is in it, what the row adds that is being filled, what may go because a later row says the
 * same, and which figures of it the database is to be told.
 */
import type { JournalEvent, JournalRow } from '../journal/events.ts';
import { compactionKey, Compaction } from '../journal/compaction.ts';
import { bytesOf, growthOf, type JournalLimits } from '../journal/growth.ts';
import type { RunState } from '../journal/state.ts';
import type { KeptSignals, RunUpdate } from '../store/store.ts';

/** From then on a row is committed before anything else is told. */
const FULL_ROW_BYTES = 4 * 1024 * 1024;
/** Of a row of a transaction step, beside its output: about. */
const ROW_OVERHEAD_BYTES = 64;

export class JournalGauge {
  readonly #state: RunState;
  readonly #limits: JournalLimits;
  #bytes = 0;
  #rowBytes = 0;
  #rowEvents = 0;
  #folding: Compaction | null = null;
  /** What the row that is being filled says of attempts that a later one may stand for. */
  #foldable: string[] = [];
  #folded: number[] = [];
  /** What the database has. */
  #growthStored = 0;
  #signalsStored: KeptSignals = { count: 0, bytes: 0 };

  constructor(state: RunState, limits: JournalLimits) {
    this.#state = state;
    this.#limits = limits;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The row that is being filled is large enough to be committed before anything else is told. */
  get rowIsFull(): boolean {
    return this.#rowBytes >= FULL_ROW_BYTES;
  }

  /** In percent: 0, 50, 80 or 100. */
  get growth(): number {
    if (this.#state.stuck?.why === 'journal full') return 100;
    return growthOf({ events: this.#state.events, bytes: this.#bytes }, this.#limits);
  }

  load(row: JournalRow): void {
    const bytes = row.bytes ?? 0;
    this.#bytes += bytes;
    this.#fold(row.n, row.events.map(compactionKey), bytes);
  }

  /** All rows are loaded: what the last holder of the run has told the database of them is taken to be about that. */
  loaded(): void {
    this.#growthStored = this.growth;
    this.#signalsStored = this.#kept();
  }

  #kept(): KeptSignals {
    return { count: this.#state.signals.length, bytes: this.#state.signalBytes };
  }

  /** An event stands in the row that is being filled, as this text. */
  wrote(text: string): void {
    const bytes = bytesOf(text);
    this.#rowEvents += 1;
    this.#rowBytes += bytes;
    this.#bytes += bytes;
  }

  /** As above; what it is may be one that stands for others. */
  noted(event: JournalEvent): void {
    const key = compactionKey(event);
    if (key !== null) this.#foldable.push(key);
  }

  /** A transaction step has written a row of its own. `withOpenRow`: what is in the row that is being filled stands in it. */
  adopted(output: string | undefined, withOpenRow: boolean): void {
    this.#bytes += bytesOf(output) + ROW_OVERHEAD_BYTES;
    if (!withOpenRow) return;
    this.#rowBytes = 0;
    this.#rowEvents = 0;
  }

  /** The database is to be told nothing of it beside the next row. */
  get isTold(): boolean {
    return this.#folded.length === 0 && this.growth === this.#growthStored;
  }

  /** The row is to be committed under this number. Returns what the database is to be told beside it; null: nothing to speak of. */
  closeRow(n: number): Pick<RunUpdate, 'folded' | 'growth' | 'signals'> | null {
    if (this.#foldable.length > 0) {
      const onlyThese = this.#foldable.length === this.#rowEvents;
      this.#fold(n, onlyThese ? this.#foldable : [...this.#foldable, null], this.#rowBytes);
      this.#foldable = [];
    }
    this.#rowBytes = 0;
    this.#rowEvents = 0;
    const folded = this.#folded;
    if (folded.length > 0) this.#folded = [];
    const { growth } = this;
    const grown = growth !== this.#growthStored;
    const { signals } = this.#state;
    const moved =
      (signals.length > 0 || this.#signalsStored.count > 0) && isOtherwise(this.#kept(), this.#signalsStored);
    if (folded.length === 0 && !grown && !moved) return null;
    this.#growthStored = growth;
    const kept = this.#kept();
    if (moved) this.#signalsStored = kept;
    return {
      ...(folded.length === 0 ? {} : { folded }),
      ...(grown ? { growth } : {}),
      ...(moved ? { signals: kept } : {}),
    };
  }

  #fold(n: number, keys: readonly (string | null)[], bytes: number): void {
    if (keys.every((key) => key === null)) return;
    this.#folding ??= new Compaction();
    for (const row of this.#folding.add(n, keys, bytes)) {
      this.#folded.push(row.n);
      this.#state.events -= row.events;
      this.#bytes -= row.bytes;
    }
  }
}

/** Signals are counted at the door by these figures, which need not be exact: an UPDATE for each one would cost more than it tells. */
function isOtherwise(kept: KeptSignals, stored: KeptSignals): boolean {
  if (kept.count === 0) return stored.count > 0;
  return Math.abs(kept.count - stored.count) >= 50 || Math.abs(kept.bytes - stored.bytes) >= 1024 * 1024;
}
