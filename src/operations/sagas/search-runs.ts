/**
 * Searching runs: pages, newest first, by what stands in them. A key, a parent, the ends of runs and stuck ones have an index; all else is
 * looked through along the ids for a bounded time, since every further index would be paid for by every commit of every run.
 */
import type { Database } from '../../postgres/database.ts';
import type { Duration } from '../../runtime/duration.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import type { RunStatus } from '../../saga/journal/events.ts';
import { boundedRead, readJson, type BoundedRead } from '../reads/bounded.ts';
import { uuidRange } from '../reads/id-prefix.ts';
import { checkLimit } from '../reads/messages.ts';
import { readPageCursor, type PageCursor } from '../reads/page-cursor.ts';
import { walkPage, type PageEnds, type Place, type Stretch } from '../reads/page-walk.ts';
import { checkLookFor, Conditions, containedJson } from '../reads/search-messages.ts';
import { assertRunId, checkStatuses, runsByIds, type RunSummary } from './sagas.ts';

/** Which runs {@link searchRuns} finds: those that fit all that is given. */
export interface RunSearch {
  readonly saga?: string | undefined;
  readonly version?: number | undefined;
  readonly status?: readonly RunStatus[] | undefined;
  readonly key?: string | undefined;
  /** Only runs that need a person. */
  readonly stuck?: boolean | undefined;
  /** The id, or how it begins: at least 4 hexadecimal digits. */
  readonly id?: string | undefined;
  /** The children of this run. */
  readonly parent?: string | undefined;
  readonly startedSince?: Date | undefined;
  readonly startedUntil?: Date | undefined;
  /** The last change of status, worker or timer. */
  readonly updatedSince?: Date | undefined;
  readonly updatedUntil?: Date | undefined;
  /** With one of these two, runs come in the order of their ends, and only ended ones. */
  readonly finishedSince?: Date | undefined;
  readonly finishedUntil?: Date | undefined;
  /** Of the error it is stuck at, or was compensated for: its code or name, or a part of its message. */
  readonly error?: string | undefined;
  /**
   * The input contains this JSON value, as PostgreSQL's `@>` has it: objects with these members and perhaps others, arrays with these
   * elements in any order.
   */
  readonly input?: unknown;
  /** A page of an earlier answer. Give the same filter with it. */
  readonly cursor?: string | undefined;
  /**
   * 1 to 1000.
   *
   * @defaultValue 50
   */
  readonly limit?: number | undefined;
  /**
   * How long to look for what no index serves, at most 10 s. The page then says how far it looked.
   *
   * @defaultValue '50ms'
   */
  readonly lookFor?: Duration | undefined;
}

/** A page of runs, newest first: by id, which is by start; with `finishedSince` or `finishedUntil` by end. */
export interface RunPage extends PageEnds {
  readonly runs: readonly RunSummary[];
}

const KNOWN = [
  'saga',
  'version',
  'status',
  'key',
  'stuck',
  'id',
  'parent',
  'startedSince',
  'startedUntil',
  'updatedSince',
  'updatedUntil',
  'finishedSince',
  'finishedUntil',
  'error',
  'input',
  'cursor',
  'limit',
  'lookFor',
] as const;

type RunOrder = 'id' | 'finished';

/** Rejects with HF_CONFIG, HF_OPTION_UNKNOWN or HF_DURATION for a search that is not usable, HF_READ_TIMEOUT. */
export async function searchRuns(database: Database, search: RunSearch = {}): Promise<RunPage> {
  refuseUnknownOptions(search, KNOWN, 'searchRuns');
  const order: RunOrder = search.finishedSince === undefined && search.finishedUntil === undefined ? 'id' : 'finished';
  const limit = checkLimit(search.limit ?? 50);
  const lookForMs = checkLookFor(search.lookFor);
  const cursor = search.cursor === undefined ? null : readPageCursor(search.cursor, [order]);
  const conditions = new Conditions();
  const { rows, ...ends } = await boundedRead(database, async (read) => {
    const from = cursor ?? (order === 'id' ? await startOfWalk(read, search) : null);
    const bounds = boundsOf(search, conditions, read.schema);
    addFilters(search, conditions, read.schema);
    return walkPage<WalkedRun>({
      order,
      from,
      limit,
      lookForMs,
      unfiltered: conditions.filters.length === 0,
      stretch: (place, size, want) => lookAt(read, { order, bounds, conditions, place, size, want }),
      keyOf: (row) => keyOf(row, order),
      timeOf: (row) => new Date(row.at),
    });
  });
  const summaries = await runsByIds(
    database,
    rows.map(({ id }) => id),
  );
  const byId = new Map(summaries.map((run) => [run.id, run]));
  // One that was pruned in between is left out.
  return { runs: rows.flatMap(({ id }) => byId.get(id) ?? []), ...ends };
}

/** Clocks may differ by so much, in milliseconds: an id is made before its run is started. */
const CLOCKS_APART_MS = 3_600_000;
/** Ids of random digits lie, nearly all of them, beyond any time to come. */
const FAR_AHEAD_MS = 86_400_000;

/**
 * Where runs begin that were started before a time, by the time in their ids: those of children have that of their parent, which is earlier.
 * Null: at the newest, also where some runs have ids without a time.
 */
async function startOfWalk(read: BoundedRead, search: RunSearch): Promise<PageCursor | null> {
  const { schema } = read;
  const { startedUntil, id, parent, key } = search;
  if (startedUntil === undefined || id !== undefined || parent !== undefined || key !== undefined) return null;
  const found = await readJson<boolean>(
    read,
    `SELECT EXISTS (SELECT FROM ${schema}.saga_run r WHERE r.id > $1::uuid)::text AS answer`,
    [lastIdOf(Date.now() + FAR_AHEAD_MS)],
  );
  if (found === null || found.value) return null;
  return { order: 'id', to: 'older', inclusive: true, key: [lastIdOf(startedUntil.getTime() + CLOCKS_APART_MS)] };
}

/** The last id that could be made at that time (UUID of version 7). */
function lastIdOf(ms: number): string {
  const digits = Math.max(0, Math.trunc(ms)).toString(16).padStart(12, '0');
  return uuidRange(digits.slice(-12))[1];
}

/** Conditions that an index answers: they say which rows are walked. */
function boundsOf(search: RunSearch, conditions: Conditions, schema: string): readonly string[] {
  const { id, parent, stuck, status, saga, key, finishedSince, finishedUntil } = search;
  const bounds: string[] = [];
  const between = (prefix: string): void => {
    const [first, last] = uuidRange(prefix);
    bounds.push(`%.id >= ${conditions.add(first, 'uuid')}`, `%.id <= ${conditions.add(last, 'uuid')}`);
  };
  if (id !== undefined) between(id);
  if (parent !== undefined) {
    assertRunId(parent);
    // The ids of children begin with the time in their parent's (saga/protocol/child-id.ts).
    between(parent.slice(0, 13));
    bounds.push(`%.parent = ${conditions.add(parent, 'uuid')}`);
  }
  // Spelled out: the index of stuck runs serves only who asks for that status in so many words.
  if (stuck === true || (status?.length === 1 && status[0] === 'stuck')) bounds.push(`%.status = 'stuck'`);
  if (key !== undefined) bounds.push(`%.id = ANY (ARRAY(${keyedSql(schema, saga, key, conditions)}))`);
  if (finishedSince !== undefined)
    bounds.push(`%.finished_at >= ${conditions.add(finishedSince.toISOString(), 'timestamptz')}`);
  if (finishedUntil !== undefined)
    bounds.push(`%.finished_at < ${conditions.add(finishedUntil.toISOString(), 'timestamptz')}`);
  return bounds;
}

/** The index is by saga and key, and there are few sagas: their names are found by leaping from one to the next in it. */
function keyedSql(schema: string, saga: string | undefined, key: string, conditions: Conditions): string {
  const runs = `${schema}.saga_run`;
  const text = conditions.add(key, 'text');
  if (saga !== undefined)
    return `SELECT k.id FROM ${runs} k WHERE k.saga = ${conditions.add(saga, 'text')} AND k.key = ${text}`;
  return `WITH RECURSIVE named (saga) AS (
      (SELECT n.saga FROM ${runs} n WHERE n.key IS NOT NULL ORDER BY n.saga LIMIT 1)
      UNION ALL
      SELECT (SELECT n.saga FROM ${runs} n WHERE n.key IS NOT NULL AND n.saga > m.saga ORDER BY n.saga LIMIT 1)
      FROM named m WHERE m.saga IS NOT NULL)
    SELECT k.id FROM named m JOIN ${runs} k ON k.saga = m.saga AND k.key = ${text}`;
}

function addFilters(search: RunSearch, conditions: Conditions, schema: string): void {
  const { saga, version, status, error, input } = search;
  const { filters } = conditions;
  if (saga !== undefined) filters.push(`o.saga = ${conditions.add(saga, 'text')}`);
  if (version !== undefined) filters.push(`o.version = ${conditions.add(version, 'int')}`);
  if (status !== undefined) filters.push(`o.status = ANY (${conditions.add(checkStatuses(status), 'text[]')})`);
  const times = [
    ['started_at', '>=', search.startedSince],
    ['started_at', '<', search.startedUntil],
    ['updated_at', '>=', search.updatedSince],
    ['updated_at', '<', search.updatedUntil],
  ] as const;
  for (const [column, compared, time] of times) {
    if (time !== undefined)
      filters.push(`o.${column} ${compared} ${conditions.add(time.toISOString(), 'timestamptz')}`);
  }
  if (error !== undefined) {
    const text = conditions.add(error, 'text');
    filters.push(
      `(o.error ->> 'code' = ${text} OR o.error ->> 'name' = ${text} OR strpos(o.error ->> 'message', ${text}) > 0)`,
    );
  }
  if (input !== undefined) {
    // The first row of a journal begins with the input. What jsonb cannot hold contains nothing that is asked for. Its value and not an
    // EXISTS: of that the planner makes a join, which may begin with the journals of all runs there are.
    filters.push(`(SELECT CASE WHEN strpos(j.events::text, '\\u0000') > 0 THEN false
        ELSE (j.events -> 0 -> 'input')::jsonb @> ${conditions.add(containedJson(input, 'input'), 'jsonb')} END
      FROM ${schema}.saga_journal j WHERE j.saga_id = o.id AND j.n = 0)`);
  }
}

interface WalkedRun {
  readonly id: string;
  /** Microseconds since the epoch; null: it has not ended. */
  readonly finished: string | null;
  readonly at: number;
}

interface RunLook {
  readonly order: RunOrder;
  readonly bounds: readonly string[];
  readonly conditions: Conditions;
  readonly place: Place | null;
  readonly size: number;
  readonly want: number;
}

interface RunStretch {
  readonly edge: WalkedRun | null;
  readonly looked: number;
  readonly rows: readonly WalkedRun[];
}

function keyOf({ id, finished }: WalkedRun, order: RunOrder): readonly string[] {
  return order === 'id' ? [id] : [finished ?? '0', id];
}

async function lookAt(read: BoundedRead, look: RunLook): Promise<Stretch<WalkedRun> | null> {
  const { order, place, size, want, conditions } = look;
  const found = await readJson<RunStretch>(read, stretchSql(read.schema, look), [
    // Both columns of an order in one text, so that every statement has the same three parameters before those of the filter.
    place?.key.join(' ') ?? null,
    size,
    want,
    ...conditions.parameters,
  ]);
  if (found === null) return null;
  const { edge, looked, rows } = found.value;
  return { rows, looked, edge: edge === null ? null : keyOf(edge, order), edgeAt: edge?.at ?? null };
}

const walkedColumns = (alias: string, time: string): string =>
  `${alias}.id, (extract(epoch FROM ${alias}.finished_at) * 1000000)::bigint::text AS finished,
   extract(epoch FROM ${alias}.${time})::float8 * 1000 AS at`;

/** Where the stretch ends is found along the index; the rows between are then read in its order. */
function stretchSql(schema: string, { order, bounds, conditions, place }: RunLook): string {
  const isOlder = place?.to !== 'newer';
  const [direction, within, back] = isOlder ? ['DESC', '>=', 'ASC'] : ['ASC', '<=', 'DESC'];
  const runs = `${schema}.saga_run`;
  const time = order === 'id' ? 'started_at' : 'finished_at';
  const columns = (alias: string): string => (order === 'id' ? `${alias}.id` : `${alias}.finished_at, ${alias}.id`);
  const sorted = (alias: string, way: string): string =>
    order === 'id' ? `${alias}.id ${way}` : `${alias}.finished_at ${way}, ${alias}.id ${way}`;
  const edge = (column: string): string => `(SELECT e.${column} FROM edge e)`;
  const reached =
    order === 'id'
      ? `o.id ${within} ${edge('id')}`
      : `o.finished_at ${within} ${edge('finished_at')} AND (o.finished_at, o.id) ${within} (${edge('finished_at')}, ${edge('id')})`;
  const at = (alias: string): string =>
    [startOf(order, place), ...bounds].map((bound) => bound.replaceAll('%', alias)).join(' AND ');
  return `WITH walked AS MATERIALIZED (
      SELECT ${columns('s')} FROM ${runs} s WHERE ${at('s')} ORDER BY ${sorted('s', direction)} LIMIT $2::int),
    edge AS MATERIALIZED (SELECT * FROM walked w ORDER BY ${sorted('w', back)} LIMIT 1)
    SELECT json_build_object(
      'edge', (SELECT row_to_json(m) FROM (SELECT ${walkedColumns('r', time)} FROM ${runs} r WHERE r.id = ${edge('id')}) m),
      'looked', (SELECT count(*)::int FROM walked),
      'rows', (SELECT coalesce(json_agg(m), '[]') FROM (
        SELECT ${walkedColumns('o', time)} FROM ${runs} o
        WHERE ${[at('o'), reached, ...conditions.filters].join(' AND ')}
        ORDER BY ${sorted('o', direction)} LIMIT $3::int) m))::text AS answer`;
}

/** The condition of a place, for a row named `%`. */
function startOf(order: RunOrder, place: Place | null): string {
  if (place === null) return order === 'id' ? '$1::text IS NULL' : '$1::text IS NULL AND %.finished_at IS NOT NULL';
  const beyond = place.to === 'older' ? '<' : '>';
  const compared = `${beyond}${place.inclusive ? '=' : ''}`;
  if (order === 'id') return `%.id ${compared} $1::text::uuid`;
  const at = `(timestamptz 'epoch' + split_part($1::text, ' ', 1)::bigint * interval '1 microsecond')`;
  return `%.finished_at ${beyond}= ${at} AND (%.finished_at, %.id) ${compared} (${at}, split_part($1::text, ' ', 2)::uuid)`;
}
