/**
 * Decides which of the messages that wait share the next transaction. Pure.
 */

export interface Waiting {
  readonly id: string;
  readonly key: string | null;
  /** Messages with the same text must not share a transaction; null: with any. */
  readonly apart: string | null;
  readonly bytes: number;
}

/** The option `batch`, settled. */
export interface BatchSettings {
  /** The most messages in one transaction. */
  readonly size: number;
  /** After this long a transaction begins no more handlers. */
  readonly withinMs: number;
}

export interface BatchBounds {
  /** Messages. */
  readonly size: number;
  /** Of their envelopes together; a message that has more goes by itself. */
  readonly bytes: number;
}

/** What must not be in two transactions of this process at once. */
export interface InHand {
  hasId(id: string): boolean;
  hasApart(apart: string): boolean;
  hasKey(key: string): boolean;
}

/** The room that a batch takes in memory and in the time of its commit is bounded by this, whatever its size. */
export const MAX_BATCH_BYTES = 4 * 1024 * 1024;

/**
 * The first of those that wait, as many as fit. A copy of a message that is in hand, one that must be apart from it, and with `ordered`
 * another message of its key, stays: what becomes of it depends on a commit that is still to come.
 * @returns indices into `waiting`, in its order
 */
export function chooseBatch(
  waiting: readonly Waiting[],
  { size, bytes }: BatchBounds,
  inHand: InHand,
  ordered: boolean,
): readonly number[] {
  const chosen: number[] = [];
  const ids = new Set<string>();
  // Also of those left behind: a later one of the key must not overtake them.
  const keys = new Set<string>();
  const aparts = new Set<string>();
  let total = 0;
  for (const [index, { id, key, apart, bytes: length }] of waiting.entries()) {
    if (chosen.length >= size) break;
    const closed = ordered && key !== null && (keys.has(key) || inHand.hasKey(key));
    if (ordered && key !== null) keys.add(key);
    const together = apart !== null && (aparts.has(apart) || inHand.hasApart(apart));
    // Also for one that is left behind: a third must not overtake it.
    if (apart !== null) aparts.add(apart);
    if (closed || together || ids.has(id) || inHand.hasId(id)) continue;
    if (chosen.length > 0 && total + length > bytes) break;
    chosen.push(index);
    ids.add(id);
    total += length;
  }
  return chosen;
}

/**
 * How many messages of those that wait a free slot takes: as long as there are others, they share them, so that a slow handler holds up no
 * more than it must. Under load one slot is free at a time, and takes a whole batch.
 */
export function shareOf(waiting: number, freeSlots: number, size: number): number {
  return Math.max(1, Math.min(size, Math.ceil(waiting / Math.max(1, freeSlots))));
}

/**
 * The order in which the handlers of a batch run: by key, then as they came. Batches that write the same rows, which go by key as a rule,
 * then wait for each other instead of locking each other out.
 */
export function inLockOrder<T extends Pick<Waiting, 'key'>>(members: readonly T[]): readonly T[] {
  return members.toSorted((one, other) => compareTexts(one.key ?? '', other.key ?? ''));
}

/** The ids in the order in which their marks are written, in every process: two batches with the same messages must not lock each other out. */
export function inMarkOrder(ids: readonly string[]): readonly string[] {
  return ids.toSorted(compareTexts);
}

function compareTexts(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
