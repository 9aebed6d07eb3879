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

export interface Timers<Owner> {
  /** The owner is due then, whatever was said before; Infinity: never. */
  set(owner: Owner, at: number): void;
  /** When the next one is due; Infinity: none is. */
  readonly next: number;
  /** Entries kept, those left behind among them. */
  readonly kept: number;
  /** Takes out all that are due by then. */
  take(now: number): readonly Owner[];
  forget(owner: Owner): void;
}

/** Entries left behind, over as many as there are timers, that are worth the clearing away. */
const MANY_LEFT_BEHIND = 1_000;

export function createTimers<Owner extends Timed<Owner>>(): Timers<Owner> {
  const heap: Timer<Owner>[] = [];
  let count = 0;

  const before = (a: number, b: number): boolean => (heap[a]?.at ?? Infinity) < (heap[b]?.at ?? Infinity);
  const swap = (a: number, b: number): void => {
    const [one, other] = [heap[a], heap[b]];
    if (one === undefined || other === undefined) return;
    heap[a] = other;
    heap[b] = one;
  };

  function push(entry: Timer<Owner>): void {
    heap.push(entry);
    for (let child = heap.length - 1; child > 0;) {
      const parent = (child - 1) >> 1;
      if (!before(child, parent)) return;
      swap(child, parent);
      child = parent;
    }
  }

  function pop(): void {
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    heap[0] = last;
    for (let parent = 0; ;) {
      let least = parent;
      for (const child of [2 * parent + 1, 2 * parent + 2])
        if (child < heap.length && before(child, least)) least = child;
      if (least === parent) return;
      swap(parent, least);
      parent = least;
    }
  }

  /** What was left behind must not keep its owners: an old deadline may be weeks away. */
  function compact(): void {
    const kept = heap.filter((entry) => entry.owner.timer === entry);
    heap.length = 0;
    for (const entry of kept) push(entry);
  }

  function top(): Timer<Owner> | undefined {
    for (;;) {
      const first = heap[0];
      if (first === undefined || first.owner.timer === first) return first;
      pop();
    }
  }

  function forget(owner: Owner): void {
    if (owner.timer === null) return;
    owner.timer = null;
    count -= 1;
  }

  return {
    set(owner, at) {
      if (heap.length > 2 * count + MANY_LEFT_BEHIND) compact();
      if ((owner.timer?.at ?? Infinity) === at) return;
      forget(owner);
      if (at === Infinity) return;
      owner.timer = { at, owner };
      count += 1;
      push(owner.timer);
    },
    get next() {
      return top()?.at ?? Infinity;
    },
    get kept() {
      return heap.length;
    },
    take(now) {
      const due: Owner[] = [];
      for (let first = top(); first !== undefined && first.at <= now; first = top()) {
        forget(first.owner);
        pop();
        due.push(first.owner);
      }
      return due;
    },
    forget,
  };
}
