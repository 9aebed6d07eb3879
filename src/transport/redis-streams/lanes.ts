/**
 * The messages of an ordered partition that its owner has in memory: a lane for each key, of which only the first may be handed out. A lane
 * is busy from there until Redis has taken in the verdict, and closed for as long as its first message is to come later. Pure.
 */
import { compareIds, type StreamEntry } from './entry.ts';
import type { Postponed } from './unsent-verdicts.ts';

/** What Redis has to be told before a message is handed out that was not just read. */
export interface Beginning {
  /** Under which count it lies among the delayed; null: it does not. */
  readonly delayedCount: number | null;
}

export interface LaneEntry {
  readonly entry: StreamEntry;
  readonly beginning: Beginning | null;
}

interface Lane {
  readonly name: string;
  readonly waiting: LaneEntry[];
  state: 'free' | 'busy' | 'closed';
  /** Monotonic milliseconds, of a closed one. */
  dueMs: number;
}

export class Lanes {
  readonly #lanes = new Map<string, Lane>();
  readonly #byId = new Map<string, Lane>();
  #characters = 0;

  get size(): number {
    return this.#byId.size;
  }

  get characters(): number {
    return this.#characters;
  }

  ids(): readonly string[] {
    return [...this.#byId.keys()];
  }

  /** Behind all of its key. Says whether it may be handed out at once, and then it counts as handed out. */
  add(entry: StreamEntry): boolean {
    const lane = this.#append({ entry, beginning: null });
    if (lane.state !== 'free' || lane.waiting.length > 1) return false;
    lane.state = 'busy';
    return true;
  }

  /**
   * What was found in Redis and is not known here: `pending` was read, `delayed` put off. With `inherited` it is of the owner before: of
   * each key the first that was not put off had been handed out, and is counted as given out again; what follows had waited. Otherwise it
   * came with an answer to us that was lost, and nobody has seen it.
   */
  takeOver(pending: readonly StreamEntry[], delayed: readonly Postponed[], inherited: boolean): void {
    const dueMs = new Map(delayed.map((each) => [each.entry.id, each.dueMs]));
    const all = [...pending, ...delayed.map(({ entry }) => entry)].toSorted((a, b) => compareIds(a.id, b.id));
    for (const entry of all) {
      const isFirst = !this.#lanes.has(nameOf(entry));
      const due = dueMs.get(entry.id);
      if (due !== undefined) {
        const lane = this.#append({ entry, beginning: { delayedCount: entry.count } });
        if (isFirst) [lane.state, lane.dueMs] = ['closed', due];
      } else if (isFirst && inherited) {
        this.#append({ entry: { ...entry, count: entry.count + 1 }, beginning: { delayedCount: null } });
      } else this.#append({ entry, beginning: null });
    }
  }

  /**
   * The next that may be handed out, at most so many; they count as handed out from here on.
   * @param which 'at once' leaves out those of which Redis has to be told before
   */
  next(most: number, nowMs: number, which: 'all' | 'at once' = 'all'): readonly LaneEntry[] {
    const found: LaneEntry[] = [];
    for (const lane of this.#lanes.values()) {
      if (found.length >= most) break;
      const isOpen = lane.state === 'free' || (lane.state === 'closed' && lane.dueMs <= nowMs);
      const [first] = lane.waiting;
      if (!isOpen || first === undefined || (which === 'at once' && first.beginning !== null)) continue;
      lane.state = 'busy';
      found.push(first);
    }
    return found;
  }

  /** It was to be handed out, and was not. */
  putBack(id: string): void {
    const lane = this.#byId.get(id);
    if (lane !== undefined) lane.state = 'free';
  }

  /** Redis has taken in that it is done, or it is gone. */
  done(id: string): void {
    const lane = this.#byId.get(id);
    const first = lane?.waiting.shift();
    if (lane === undefined || first === undefined) return;
    this.#byId.delete(id);
    this.#characters -= first.entry.wire.length;
    lane.state = 'free';
    if (lane.waiting.length === 0) this.#lanes.delete(lane.name);
  }

  /** Redis has taken in that it is to come later. */
  later(id: string, dueMs: number): void {
    const lane = this.#byId.get(id);
    const first = lane?.waiting[0];
    if (lane === undefined || first === undefined) return;
    lane.waiting[0] = { entry: first.entry, beginning: { delayedCount: first.entry.count } };
    lane.state = 'closed';
    lane.dueMs = dueMs;
  }

  /** When the next lane opens by itself; Infinity: none is closed. */
  nextDueMs(): number {
    let next = Infinity;
    for (const lane of this.#lanes.values()) if (lane.state === 'closed') next = Math.min(next, lane.dueMs);
    return next;
  }

  hasOpen(nowMs: number): boolean {
    for (const { state, dueMs } of this.#lanes.values())
      if (state === 'free' || (state === 'closed' && dueMs <= nowMs)) return true;
    return false;
  }

  clear(): void {
    this.#lanes.clear();
    this.#byId.clear();
    this.#characters = 0;
  }

  /** Those that were read and neither handed out nor put off. */
  unbegun(): readonly StreamEntry[] {
    return [...this.#lanes.values()].flatMap(({ state, waiting }) =>
      waiting.slice(state === 'busy' ? 1 : 0).flatMap(({ entry, beginning }) => (beginning === null ? [entry] : [])),
    );
  }

  #append(laneEntry: LaneEntry): Lane {
    const { entry } = laneEntry;
    const name = nameOf(entry);
    let lane = this.#lanes.get(name);
    if (lane === undefined) this.#lanes.set(name, (lane = { name, waiting: [], state: 'free', dueMs: 0 }));
    lane.waiting.push(laneEntry);
    this.#byId.set(entry.id, lane);
    this.#characters += entry.wire.length;
    return lane;
  }
}

/** What has no key is ordered behind nothing. */
function nameOf({ key, id }: StreamEntry): string {
  return key === null ? id : `=${key}`;
}
