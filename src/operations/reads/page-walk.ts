/**
 * One page of a list whose filter no index serves. The list is looked through in its order, stretch by stretch, until the page is full, the
 * list ends, or the time is up; then the page says how far it looked, and its cursors go on from there. So an answer comes in time whatever
 * the table holds, and none is silently a part.
 *
 * A stretch is a number of rows along an index. It grows while rows are cheap to look at, and shrinks when the server ran out of time.
 */
import { HoldfastError } from '../../errors.ts';
import { writePageCursor, type PageCursor, type PageOrder } from './page-cursor.ts';

/** How far a page looked. */
export interface Looked {
  /** Rows that were looked through for it, at least those it shows. */
  readonly rows: number;
  /** The time of the row that was looked at last; null: there was none. */
  readonly reached: Date | null;
  /** It is full, or nothing is left in its direction. False: the time was up before, and the cursor in its direction goes on. */
  readonly complete: boolean;
}

/** A page without its rows: where the next ones are. Lists are newest first, whichever way they are paged. */
export interface PageEnds {
  /** Cursor of what comes behind the page; null: nothing does. */
  readonly older: string | null;
  /** Cursor of what comes before it: what is new since then, if nothing else; null: of an empty list. */
  readonly newer: string | null;
  readonly looked: Looked;
}

export type Place = Pick<PageCursor, 'to' | 'inclusive' | 'key'>;

/** What one stretch gave. */
export interface Stretch<Row> {
  /** Those that fit, in the direction of the walk. */
  readonly rows: readonly Row[];
  /** How many it looked through; fewer than were asked for: it came to the end. */
  readonly looked: number;
  /** Key of the last one it looked at, and its time in milliseconds since the epoch; null: there was none. */
  readonly edge: readonly string[] | null;
  readonly edgeAt: number | null;
}

export interface Walk<Row> {
  readonly order: PageOrder;
  /** Null: at the newest. */
  readonly from: PageCursor | null;
  readonly limit: number;
  /** Every row fits: the first stretch is the page. */
  readonly unfiltered: boolean;
  /** After so long no further stretch is begun, in milliseconds. */
  readonly lookForMs: number;
  /** Null: it took too long, and a shorter one may not. */
  readonly stretch: (place: Place | null, size: number, want: number) => Promise<Stretch<Row> | null>;
  readonly keyOf: (row: Row) => readonly string[];
  readonly timeOf: (row: Row) => Date;
}

/** Sizes of stretches, in rows. */
const FIRST = 1_000;
const LEAST = 10;
const MOST = 20_000;

/** Rejects with HF_READ_TIMEOUT when even a few rows take too long. */
export async function walkPage<Row>(walk: Walk<Row>): Promise<PageEnds & { readonly rows: readonly Row[] }> {
  const walked = await lookThrough(walk);
  const to = walk.from?.to ?? 'older';
  const isFull = walked.rows.length > walk.limit;
  const rows = walked.rows.slice(0, walk.limit);
  const last = rows.at(-1);
  const ends = endsOf(walk, { ...walked, rows, isFull });
  return {
    rows: to === 'older' ? rows : rows.toReversed(),
    ...ends,
    looked: {
      rows: walked.looked,
      reached: isFull && last !== undefined ? walk.timeOf(last) : walked.reachedAt,
      complete: isFull || walked.isEnd,
    },
  };
}

interface Walked<Row> {
  readonly rows: readonly Row[];
  readonly looked: number;
  readonly reachedAt: Date | null;
  readonly edge: readonly string[] | null;
  readonly isEnd: boolean;
}

/** One row more than the page holds tells that there is more. */
async function lookThrough<Row>(walk: Walk<Row>): Promise<Walked<Row>> {
  const { limit, lookForMs } = walk;
  const to = walk.from?.to ?? 'older';
  const startedAt = performance.now();
  const rows: Row[] = [];
  let place: Place | null = walk.from;
  let size = walk.unfiltered ? limit + 1 : Math.max(FIRST, limit + 1);
  let looked = 0;
  let edge: readonly string[] | null = null;
  let reachedAt: Date | null = null;
  for (;;) {
    const begunAt = performance.now();
    const stretch = await walk.stretch(place, size, limit + 1 - rows.length);
    if (stretch === null) {
      if (edge !== null && begunAt - startedAt >= lookForMs / 2) return { rows, looked, reachedAt, edge, isEnd: false };
      if (size <= LEAST) throw tooSlow();
      size = Math.max(LEAST, Math.floor(size / 10));
      continue;
    }
    rows.push(...stretch.rows);
    looked += stretch.looked;
    edge = stretch.edge ?? edge;
    reachedAt = stretch.edgeAt === null ? reachedAt : new Date(stretch.edgeAt);
    const isEnd = stretch.looked < size;
    const now = performance.now();
    if (rows.length > limit || isEnd || now - startedAt >= lookForMs || stretch.edge === null)
      return { rows, looked, reachedAt, edge, isEnd: isEnd || stretch.edge === null };
    place = { to, inclusive: false, key: stretch.edge };
    size = nextSize(size, now - begunAt, lookForMs - (now - startedAt));
  }
}

/** Pure. So many as the time that is left should do for. */
function nextSize(size: number, tookMs: number, leftMs: number): number {
  const affordable = Math.floor((size / Math.max(tookMs, 0.1)) * leftMs);
  return Math.max(LEAST, Math.min(size * 4, MOST, affordable));
}

/** Pure. */
function endsOf<Row>(
  { order, from, keyOf }: Pick<Walk<Row>, 'order' | 'from' | 'keyOf'>,
  { rows, edge, isFull, isEnd }: Pick<Walked<Row>, 'rows' | 'edge' | 'isEnd'> & { readonly isFull: boolean },
): Pick<PageEnds, 'older' | 'newer'> {
  const to = from?.to ?? 'older';
  const [first, last] = [rows[0], rows.at(-1)];
  const cursor = (place: Place): string => writePageCursor({ order, ...place });
  const ahead = ((): string | null => {
    if (isFull && last !== undefined) return cursor({ to, inclusive: false, key: keyOf(last) });
    if (!isEnd && edge !== null) return cursor({ to, inclusive: false, key: edge });
    if (to === 'older') return null;
    // New ones will stand there.
    const key = edge ?? (last === undefined ? null : keyOf(last));
    if (key !== null) return cursor({ to, inclusive: false, key });
    return from === null ? null : cursor(from);
  })();
  const back = to === 'older' ? 'newer' : 'older';
  const behind = ((): string | null => {
    if (first !== undefined) return cursor({ to: back, inclusive: false, key: keyOf(first) });
    // All that the page did not look at: where it excluded the place itself, the way back includes it.
    return from === null ? null : cursor({ to: back, inclusive: !from.inclusive, key: from.key });
  })();
  return to === 'older' ? { older: ahead, newer: behind } : { older: behind, newer: ahead };
}

function tooSlow(): HoldfastError {
  return new HoldfastError('HF_READ_TIMEOUT', 'The database does not read even a few rows in time.', {
    advice: 'Look at its load (`holdfast doctor`), and narrow the search.',
  });
}
