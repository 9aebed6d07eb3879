/**
 * When which run is due: a heap, because a worker may hold thousands of timers and looks only at the first. A timer that was moved
 * leaves its old entry behind, which is passed over when it comes up, or thrown out with others when there are many.
 */
export interface Timer<Owner> {
  readonly at: number;
  readonly owner: Owner;
}

/** Who has a timer: at most one. It stands with its owner because owners come and go (see runtime/id-map.ts). */
export interface Timed<Owner> {
  timer: Timer<Owner> | null;
}

/** Entries left behind, over as many as there are timers, that are worth the clearing away. */
const MANY_LEFT_BEHIND = 1_000;

export class Timers<Owner extends Timed<Owner>> {
  readonly #heap: Timer<Owner>[] = [];
  #count = 0;

  /** The owner is due then, whatever was said before; Infinity: never. */
  set(owner: Owner, at: number): void {
    if (this.#heap.length > 2 * this.#count + MANY_LEFT_BEHIND) this.#compact();
    if ((owner.timer?.at ?? Infinity) === at) return;
    this.forget(owner);
    if (at === Infinity) return;
    owner.timer = { at, owner };
    this.#count += 1;
    pushOnto(this.#heap, owner.timer);
  }

  forget(owner: Owner): void {
    if (owner.timer === null) return;
    owner.timer = null;
    this.#count -= 1;
  }

  /** When the next one is due; Infinity: none is. */
  get next(): number {
    return this.#top()?.at ?? Infinity;
  }

  /** Entries kept, those left behind among them. */
  get kept(): number {
    return this.#heap.length;
  }

  /** Takes out all that are due by then. */
  take(now: number): readonly Owner[] {
    const due: Owner[] = [];
    for (let first = this.#top(); first !== undefined && first.at <= now; first = this.#top()) {
      this.forget(first.owner);
      popFrom(this.#heap);
      due.push(first.owner);
    }
    return due;
  }

  /** What was left behind must not keep its owners: an old deadline may be weeks away. */
  #compact(): void {
    const kept = this.#heap.filter((entry) => entry.owner.timer === entry);
    this.#heap.length = 0;
    for (const entry of kept) pushOnto(this.#heap, entry);
  }

  #top(): Timer<Owner> | undefined {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || first.owner.timer === first) return first;
      popFrom(this.#heap);
    }
  }
}

interface Entry {
  readonly at: number;
}

function pushOnto(heap: Entry[], entry: Entry): void {
  heap.push(entry);
  for (let child = heap.length - 1; child > 0;) {
    const parent = (child - 1) >> 1;
    if (!isBefore(heap, child, parent)) return;
    swap(heap, parent, child);
    child = parent;
  }
}

function popFrom(heap: Entry[]): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  heap[0] = last;
  for (let parent = 0; ;) {
    let least = parent;
    const left = 2 * parent + 1;
    if (left < heap.length && isBefore(heap, left, least)) least = left;
    if (left + 1 < heap.length && isBefore(heap, left + 1, least)) least = left + 1;
    if (least === parent) return;
    swap(heap, parent, least);
    parent = least;
  }
}

function isBefore(heap: readonly Entry[], a: number, b: number): boolean {
  return (heap[a]?.at ?? Infinity) < (heap[b]?.at ?? Infinity);
}

function swap(heap: Entry[], a: number, b: number): void {
  const [one, other] = [heap[a], heap[b]];
  if (one === undefined || other === undefined) return;
  heap[a] = other;
  heap[b] = one;
}
