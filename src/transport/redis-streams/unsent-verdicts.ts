/**
 * The verdicts of a partition that Redis does not have yet. What was sent and not answered is sent again. Pure.
 */
import type { StreamEntry } from './entry.ts';

/** A script takes no more ids at once. */
const MOST_AT_ONCE = 1000;

export interface Postponed {
  readonly entry: StreamEntry;
  /** Monotonic milliseconds. */
  readonly dueMs: number;
}

/** What one exchange tells. */
export interface Parcel {
  /** Ids. */
  readonly done: readonly string[];
  readonly later: readonly Postponed[];
}

export class UnsentVerdicts {
  #done: string[] = [];
  #later: Postponed[] = [];

  get isEmpty(): boolean {
    return this.#done.length === 0 && this.#later.length === 0;
  }

  ids(): readonly string[] {
    return [...this.#done, ...this.#later.map(({ entry }) => entry.id)];
  }

  done(id: string): void {
    this.#done.push(id);
  }

  later(entry: StreamEntry, dueMs: number): void {
    this.#later.push({ entry, dueMs });
  }

  /** The oldest of what there is. */
  take(): Parcel {
    return { done: this.#done.splice(0, MOST_AT_ONCE), later: this.#later.splice(0, MOST_AT_ONCE) };
  }

  /** It is not known whether Redis has it. */
  putBack({ done, later }: Parcel): void {
    this.#done = [...done, ...this.#done];
    this.#later = [...later, ...this.#later];
  }

  clear(): void {
    this.#done = [];
    this.#later = [];
  }
}
