/**
 * When which run is due: a heap, because a worker may hold thousands of timers and looks only at the first. A timer that was moved
 * leaves its old entry behind, which is passed over when it comes up, or thrown out with others when there are many. Used by the engine.
 */
interface Entry<Owner> {
  readonly at: number;
  readonly owner: Owner;
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

export function createTimers<Owner extends object>(): Timers<Owner> {
  const heap: Entry<Owner>[] = [];
  const current = new Map<Owner, Entry<Owner>>();

  const before = (a: number, b: number): boolean => (heap[a]?.at ?? Infinity) < (heap[b]?.at ?? Infinity);
  const swap = (a: number, b: number): void => {
    const [one, other] = [heap[a], heap[b]];
    if (one === undefined || other === undefined) return;
    heap[a] = other;
    heap[b] = one;
  };

  function push(entry: Entry<Owner>): void {
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
    heap.length = 0;
    for (const entry of current.values()) push(entry);
  }

  function top(): Entry<Owner> | undefined {
    for (;;) {
      const first = heap[0];
      if (first === undefined || current.get(first.owner) === first) return first;
      pop();
    }
  }

  return {
    set(owner, at) {
      if (heap.length > 2 * current.size + MANY_LEFT_BEHIND) compact();
      if ((current.get(owner)?.at ?? Infinity) === at) return;
      if (at === Infinity) {
        current.delete(owner);
        return;
      }
      const entry = { at, owner };
      current.set(owner, entry);
      push(entry);
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
        current.delete(first.owner);
        pop();
        due.push(first.owner);
      }
      return due;
    },
    forget(owner) {
      current.delete(owner);
    },
  };
}
