/**
 * The relay's place in the log. Pure.
 *
 * A cursor (snapshot P, high h) means: every row that is visible in P and has seq <= h is dealt with: published, parked, or for nobody. What is left is then
 *   low:  rows with seq <= h that P does not show, because their transaction committed after P was taken;
 *   high: rows with seq > h.
 * Reading both under a newer snapshot C and delivering them gives the cursor (C, h'), whether or not other people's
 * transactions are still open. When low has more rows than a page, its rest is read under the same C: `catchup`.
 */

export interface Cursor {
  /** P, as PostgreSQL prints a pg_snapshot: `xmin:xmax:xip,xip,...`. */
  readonly snapshot: string;
  /** h. Sequence numbers are exact up to 2^53. */
  readonly high: number;
  /** Set while a low probe longer than a page is under way: its rows visible in `snapshot` up to `seq` are delivered. */
  readonly catchup: { readonly snapshot: string; readonly seq: number } | null;
  /** Rows with seq <= floor bear xids of another cluster; the low probe leaves them out. */
  readonly floor: number;
}

export interface SnapshotParts {
  readonly xmin: bigint;
  /** One past the last *completed* transaction: transactions at or above it may be running, and may hold seqs, unlisted. */
  readonly xmax: bigint;
  readonly xip: readonly string[];
}

export function parseSnapshot(snapshot: string): SnapshotParts {
  const match = /^(\d+):(\d+):([\d,]*)$/.exec(snapshot);
  if (match === null) throw new TypeError(`not a pg_snapshot: '${snapshot}'`);
  const [, xmin = '', xmax = '', xip = ''] = match;
  return { xmin: BigInt(xmin), xmax: BigInt(xmax), xip: xip === '' ? [] : xip.split(',') };
}

/** What one page of the log brought, whoever the rows were for. */
export interface PageFacts {
  /** C: the snapshot under which the page was read. */
  readonly snapshot: string;
  /** Highest seq among the low rows read, or null when there were none. */
  readonly lowLast: number | null;
  /** The low probe filled the page, so there may be more of it. */
  readonly lowFull: boolean;
  /** Highest seq among the high rows read, or null when there were none. */
  readonly highLast: number | null;
}

/** The cursor once every row of the page has been delivered or parked. */
export function cursorAfter(cursor: Cursor, page: PageFacts): Cursor {
  const underCatchup = cursor.catchup?.snapshot ?? page.snapshot;
  if (page.lowFull && page.lowLast !== null) {
    return { ...cursor, catchup: { snapshot: underCatchup, seq: page.lowLast } };
  }
  return { snapshot: underCatchup, high: page.highLast ?? cursor.high, catchup: null, floor: cursor.floor };
}

/**
 * The most advanced cursor that is safe for readers that until now had cursors of their own (another number of shards):
 * nothing that any of them has not delivered is behind it. Duplicates are possible, loss is not.
 */
export function mergeCursors(cursors: readonly Cursor[]): Cursor {
  const [first, ...rest] = cursors;
  if (first === undefined) throw new TypeError('mergeCursors needs at least one cursor');
  if (rest.length === 0) return first;
  const xmin = cursors.map((cursor) => parseSnapshot(cursor.snapshot).xmin).reduce((a, b) => (a < b ? a : b));
  return {
    // Only what had finished before all of the snapshots counts as seen.
    snapshot: `${xmin}:${xmin}:`,
    high: Math.min(...cursors.map((cursor) => cursor.high)),
    catchup: null,
    // Each floor has all rows of the other cluster below it; above the lowest one a late committer may still wait for its reader.
    floor: Math.min(...cursors.map((cursor) => cursor.floor)),
  };
}
