/**
 * Searching what is parked: pages in the order of listParked. What no index serves (topic, state, group) is looked through for a bounded time,
 * along the primary keys; the page then says how far it looked, and its cursor goes on from there.
 *
 * It goes through lines, one after the other: all that relays have parked and all that consumers have; of one key those of each place, since
 * the indexes by key begin with the place.
 */
import { sql } from 'kysely';
import { HoldfastError } from '../../errors.ts';
import { isUuid } from '../../message/id.ts';
import type { Database } from '../../postgres/database.ts';
import type { Duration } from '../../runtime/duration.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { boundedRead, readJson, type BoundedRead } from '../reads/bounded.ts';
import { checkLimit } from '../reads/messages.ts';
import { readPageCursor, type PageCursor } from '../reads/page-cursor.ts';
import { walkPage, type Looked, type Place, type Stretch } from '../reads/page-walk.ts';
import { checkLookFor } from '../reads/search-messages.ts';
import { leapsSql } from '../reads/written-by.ts';
import type { ParkedKind } from './parked-rows.ts';
import {
  narrowed,
  parkedQuery,
  toParkedSummary,
  type ParkedFilter,
  type ListedRow,
  type ParkedSummary,
} from './parked.ts';

/** Which parked messages {@link searchParked} finds: those that fit all that is given. */
export interface ParkedSearch extends Omit<ParkedFilter, 'id' | 'after'> {
  /** `next` of the page before. Give the same filter with it. */
  readonly cursor?: string | undefined;
  /**
   * How long to look for what no index serves, at most 10 s. The page then says how far it looked.
   *
   * @defaultValue '50ms'
   */
  readonly lookFor?: Duration | undefined;
}

/** A page of parked messages: place by place, those of relays first, in each the oldest message first. */
export interface ParkedPage {
  readonly parked: readonly ParkedSummary[];
  /** Cursor of what comes behind the page; null: nothing does. */
  readonly next: string | null;
  /** How many were looked through for it, and whether it is full or nothing is left: if not, the time was up before. */
  readonly looked: Pick<Looked, 'rows' | 'complete'>;
}

const KNOWN = ['kind', 'where', 'topic', 'key', 'state', 'group', 'cursor', 'limit', 'lookFor'] as const;

/** Rejects with HF_CONFIG, HF_OPTION_UNKNOWN or HF_DURATION for a search that is not usable, HF_READ_TIMEOUT. */
export async function searchParked(database: Database, search: ParkedSearch = {}): Promise<ParkedPage> {
  refuseUnknownOptions(search, KNOWN, 'searchParked');
  const { topic, state, group } = search;
  const limit = checkLimit(search.limit ?? 50);
  const lookForMs = checkLookFor(search.lookFor);
  const from = search.cursor === undefined ? null : readCursor(search.cursor, search.key);
  // What cannot be used is refused before anything is asked.
  narrowed(parkedQuery(database), search);
  const { rows, older, looked } = await boundedRead(database, async (read) => {
    const lines = await linesOf(read, search);
    return walkPage<ListedRow>({
      order: 'parked',
      from,
      limit,
      lookForMs,
      unfiltered: topic === undefined && state === undefined && group === undefined,
      stretch: (place, size, want) => lookAt(read, { database, search, lines, place, size, want }),
      keyOf: (row) => keyOf(row, search.key),
      timeOf: ({ parked_at: at }) => new Date(at),
    });
  });
  return {
    parked: rows.map(toParkedSummary),
    next: older,
    looked: { rows: looked.rows, complete: looked.complete },
  };
}

/** Throws HF_CONFIG. There is one direction. */
function readCursor(text: string, key: string | undefined): PageCursor {
  const cursor = readPageCursor(text, ['parked']);
  const [kind, , at = ''] = cursor.key;
  if (isUuid(at) === (orderOf(kind === 'relay' ? 'relay' : 'consumer', key) === 'id'))
    return { ...cursor, to: 'older', inclusive: false };
  throw new HoldfastError(
    'HF_CONFIG',
    'The cursor is of a list with a key, and this one has none, or the other way round.',
    {
      advice: 'Use it with the filter of the page that it came from.',
    },
  );
}

/** Where a walk goes along an index. */
interface Line {
  readonly kind: ParkedKind;
  /** Null: through all places. */
  readonly where: string | null;
}

async function linesOf(read: BoundedRead, { kind, where, key }: ParkedSearch): Promise<readonly Line[]> {
  const kinds = (['relay', 'consumer'] as const).filter((each) => kind === undefined || kind === each);
  if (key === undefined || where !== undefined) return kinds.map((each) => ({ kind: each, where: where ?? null }));
  const { schema } = read;
  const found = await readJson<Readonly<Record<ParkedKind, readonly string[]>>>(
    read,
    `WITH RECURSIVE ${leapsSql('relays', `${schema}.parked_message`, 'subscription')},
       ${leapsSql('consumers', `${schema}.parked_delivery`, 'consumer')}
     SELECT json_build_object(
       'relay', (SELECT coalesce(json_agg(r.subscription), '[]') FROM relays r WHERE r.subscription IS NOT NULL),
       'consumer', (SELECT coalesce(json_agg(c.consumer), '[]') FROM consumers c WHERE c.consumer IS NOT NULL))::text AS answer`,
    [],
  );
  // In an order that does not depend on the collation of the database: where a cursor stands among them is found out here.
  return kinds.flatMap((each) => (found?.value[each] ?? []).toSorted().map((place) => ({ kind: each, where: place })));
}

/** What the rows of a line are sorted by, within a place. Consumers have no index by position but within a key. */
function orderOf(kind: ParkedKind, key: string | undefined): 'position' | 'id' {
  return kind === 'relay' || key !== undefined ? 'position' : 'id';
}

function keyOf(row: ListedRow, key: string | undefined): readonly string[] {
  return [row.kind, row.place, String(orderOf(row.kind, key) === 'id' ? row.id : row.position)];
}

interface ParkedLook {
  readonly database: Database;
  readonly search: ParkedSearch;
  readonly lines: readonly Line[];
  readonly place: Place | null;
  readonly size: number;
  readonly want: number;
}

/** Through as many lines as it takes. Null: it took too long. */
async function lookAt(read: BoundedRead, look: ParkedLook): Promise<Stretch<ListedRow> | null> {
  const { lines, place, size, want } = look;
  const [kind, where = '', at = ''] = place?.key ?? [];
  const first = kind === undefined ? 0 : lines.findIndex((line) => isFrom(line, kind, where));
  const rows: ListedRow[] = [];
  let looked = 0;
  let edge: readonly string[] | null = null;
  for (const line of first < 0 ? [] : lines.slice(first)) {
    if (looked >= size || rows.length >= want) break;
    const after = line.kind === kind && (line.where === null || line.where === where) ? { where, at } : null;
    // One line after the other: where one ends, the next one begins.
    // oxlint-disable-next-line no-await-in-loop
    const part = await lookAlong(read, look, { line, after, size: size - looked, want: want - rows.length });
    if (part === null) return null;
    rows.push(...part.rows);
    looked += part.looked;
    if (part.edge !== null) edge = [line.kind, ...part.edge];
  }
  return { rows, looked, edge, edgeAt: null };
}

/** Whether the place is in this line, or before it. */
function isFrom(line: Line, kind: string, where: string): boolean {
  if (line.kind !== kind) return kind === 'relay';
  return line.where === null || line.where >= where;
}

interface PartOfLine {
  readonly line: Line;
  readonly after: { readonly where: string; readonly at: string } | null;
  readonly size: number;
  readonly want: number;
}

interface LineStretch {
  readonly looked: number;
  /** Place, and what it is sorted by within it. */
  readonly edge: readonly [string, string] | null;
  readonly rows: readonly ListedRow[];
}

/** Where it ends is found along the index; those that fit until there are then read in its order. */
async function lookAlong(
  read: BoundedRead,
  { database, search }: ParkedLook,
  { line, after, size, want }: PartOfLine,
): Promise<LineStretch | null> {
  const { key } = search;
  const order = orderOf(line.kind, key);
  const type = sql.raw(order === 'id' ? 'uuid' : 'bigint');
  let bounded = parkedQuery(database).where('kind', '=', line.kind).orderBy('place').orderBy(order);
  if (line.where !== null) bounded = bounded.where('place', '=', line.where);
  if (key !== undefined) bounded = bounded.where('key', '=', key);
  if (after !== null)
    bounded = bounded.where(sql<boolean>`(place, ${sql.ref(order)}) > (${after.where}, ${after.at}::${type})`);
  const walked = bounded
    .clearSelect()
    .select(['place', sql.ref(order).as('at')])
    .limit(size)
    .compile();
  const ends = await readJson<Omit<LineStretch, 'rows'>>(
    read,
    `WITH walked AS MATERIALIZED (${walked.sql})
     SELECT json_build_object('looked', (SELECT count(*)::int FROM walked), 'edge', (
       SELECT json_build_array(w.place, w.at::text) FROM walked w ORDER BY w.place DESC, w.at DESC LIMIT 1))::text AS answer`,
    walked.parameters,
  );
  if (ends === null) return null;
  const { looked, edge } = ends.value;
  if (edge === null) return { looked, edge, rows: [] };
  const [edgeWhere, edgeAt] = edge;
  const within = bounded.where(sql<boolean>`(place, ${sql.ref(order)}) <= (${edgeWhere}, ${edgeAt}::${type})`);
  const { sql: text, parameters } = narrowed(within, search).limit(want).compile();
  const found = await readJson<readonly ListedRow[]>(
    read,
    `SELECT coalesce(json_agg(m), '[]')::text AS answer FROM (${text}) AS m`,
    parameters,
  );
  return found === null ? null : { looked, edge, rows: found.value };
}
