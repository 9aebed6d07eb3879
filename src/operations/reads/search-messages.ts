/**
 * Searching the log: pages of messages, newest first, by what stands in them. The log has few indexes, since each would be paid for by every
 * writer: by id, by place (and so, nearly, by time), by transaction. What none of them serves is looked through for a bounded time.
 */
import { HoldfastError } from '../../errors.ts';
import { assertTopicPattern, topicPatternToRegex } from '../../message/topic-pattern.ts';
import type { Database } from '../../postgres/database.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { seqAfter, seqBefore } from '../../relay/log/log-position.ts';
import { boundedRead, readJson, type BoundedRead } from './bounded.ts';
import { uuidRange } from './id-prefix.ts';
import { refColumns, toMessageRef, type MessageRef, type RefRow } from './message-ref.ts';
import { checkLimit } from './messages.ts';
import { readPageCursor, type PageCursor } from './page-cursor.ts';
import { walkPage, type PageEnds, type Place, type Stretch } from './page-walk.ts';

/** Which messages {@link searchMessages} finds: those that fit all that is given. */
export interface MessageSearch {
  /** A topic pattern. */
  readonly topic?: string | undefined;
  readonly key?: string | undefined;
  /** Written at or after. */
  readonly since?: Date | undefined;
  /** Written before. */
  readonly until?: Date | undefined;
  /** The id, or how it begins: at least 4 hexadecimal digits. */
  readonly id?: string | undefined;
  readonly correlationId?: string | undefined;
  /** The message whose handling sent it. */
  readonly causationId?: string | undefined;
  /** Its own headers have these values. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /**
   * The payload contains this JSON value, as PostgreSQL's `@>` has it: objects with these members and perhaps others, arrays with these
   * elements in any order.
   */
  readonly payload?: unknown;
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

/** A message, as {@link searchMessages} finds it. */
export interface FoundMessage extends MessageRef {
  readonly ageMs: number;
  /** Of the payload as JSON text. */
  readonly payloadBytes: number;
}

/** A page of messages, newest first. */
export interface MessagePage extends PageEnds {
  readonly messages: readonly FoundMessage[];
}

const KNOWN = [
  'topic',
  'key',
  'since',
  'until',
  'id',
  'correlationId',
  'causationId',
  'headers',
  'payload',
  'cursor',
  'limit',
  'lookFor',
] as const;

/** Rejects with HF_CONFIG, HF_OPTION_UNKNOWN or HF_DURATION for a search that is not usable, HF_READ_TIMEOUT. */
export async function searchMessages(database: Database, search: MessageSearch = {}): Promise<MessagePage> {
  refuseUnknownOptions(search, KNOWN, 'searchMessages');
  const limit = checkLimit(search.limit ?? 50);
  const lookForMs = checkLookFor(search.lookFor);
  const order = search.id === undefined ? 'seq' : 'id';
  const from = search.cursor === undefined ? null : readPageCursor(search.cursor, [order]);
  const conditions = new Conditions();
  const bounds = await boundsOf(database, search, conditions);
  addFilters(search, conditions);
  return boundedRead(database, (read) => walkMessages(read, { order, from, limit, lookForMs, bounds, conditions }));
}

/** What a walk through the log looks for, and how far. */
export interface MessageWalk extends Pick<Look, 'order' | 'bounds' | 'conditions'> {
  readonly from: PageCursor | null;
  readonly limit: number;
  readonly lookForMs: number;
}

/** Rejects with HF_READ_TIMEOUT. */
export async function walkMessages(read: BoundedRead, walk: MessageWalk): Promise<MessagePage> {
  const { order, conditions } = walk;
  const { rows, ...ends } = await walkPage<FoundRow>({
    ...walk,
    unfiltered: conditions.filters.length === 0,
    stretch: (place, size, want) => lookAt(read, { ...walk, place, size, want }),
    keyOf: (row) => [order === 'seq' ? row.seq : row.id],
    timeOf: (row) => new Date(row.at),
  });
  return { messages: rows.map(toFound), ...ends };
}

/** Milliseconds. Throws HF_CONFIG or HF_DURATION. */
export function checkLookFor(given: Duration = DEFAULT_LOOK_FOR): number {
  const ms = parseDuration(given, 'lookFor');
  if (ms <= MOST_LOOK_FOR_MS) return ms;
  throw new HoldfastError('HF_CONFIG', `lookFor is ${ms} ms.`, {
    advice: 'Give at most 10 s, and go on with the cursor of the page.',
  });
}

const DEFAULT_LOOK_FOR: Duration = '50ms';
const MOST_LOOK_FOR_MS = 10_000;

/** Parts of a WHERE and their parameters, in a statement whose first parameters are the three of a stretch. */
export class Conditions {
  static readonly #before = 3;
  /** What each row is held against. */
  readonly filters: string[] = [];
  readonly parameters: unknown[] = [];

  /** The parameter as it stands in SQL. */
  add(value: unknown, type: string): string {
    this.parameters.push(value);
    return `$${this.parameters.length + Conditions.#before}::${type}`;
  }
}

/** Conditions on the column of the order itself: where a walk begins and ends. */
async function boundsOf(
  database: Database,
  { id, since, until }: MessageSearch,
  conditions: Conditions,
): Promise<readonly string[]> {
  if (id !== undefined) {
    const [from, to] = uuidRange(id);
    return [`id >= ${conditions.add(from, 'uuid')}`, `id <= ${conditions.add(to, 'uuid')}`];
  }
  const bounds: string[] = [];
  if (since !== undefined)
    bounds.push(`seq >= ${conditions.add(await seqBefore(database, database.schema, since), 'bigint')}`);
  if (until !== undefined)
    bounds.push(`seq < ${conditions.add(await seqAfter(database, database.schema, until), 'bigint')}`);
  return bounds;
}

function addFilters(search: MessageSearch, conditions: Conditions): void {
  const { topic, key, since, until, correlationId, causationId, headers, payload } = search;
  const { filters } = conditions;
  if (topic !== undefined) {
    assertTopicPattern(topic);
    const plain = !topic.includes('*');
    filters.push(`o.topic ${plain ? '=' : '~'} ${conditions.add(plain ? topic : topicPatternToRegex(topic), 'text')}`);
  }
  if (key !== undefined) filters.push(`o.key = ${conditions.add(key, 'text')}`);
  if (since !== undefined) filters.push(`o.created_at >= ${conditions.add(since.toISOString(), 'timestamptz')}`);
  if (until !== undefined) filters.push(`o.created_at < ${conditions.add(until.toISOString(), 'timestamptz')}`);
  if (correlationId !== undefined)
    filters.push(`o.headers ->> 'correlationid' = ${conditions.add(correlationId, 'text')}`);
  if (causationId !== undefined) filters.push(`o.headers ->> 'causationid' = ${conditions.add(causationId, 'text')}`);
  if (headers !== undefined)
    filters.push(`o.headers -> 'headers' @> ${conditions.add(containedJson(headers, 'headers'), 'jsonb')}`);
  if (payload !== undefined) filters.push(`o.payload @> ${conditions.add(containedJson(payload, 'payload'), 'jsonb')}`);
}

/** As JSON.stringify writes what no jsonb holds: the character 0, and half of a pair of surrogates. */
const UNSTORABLE = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/i;

/** JSON text of what is to be contained. Throws HF_CONFIG. */
export function containedJson(value: unknown, name: string): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch {
    text = undefined;
  }
  if (text !== undefined && !UNSTORABLE.test(text)) return text;
  throw new HoldfastError('HF_CONFIG', `${name} is no JSON value that can be stored.`, {
    advice: 'Give what the payload is to contain, such as { orderId: "o-1" }.',
  });
}

interface FoundRow extends RefRow {
  readonly age_ms: number;
  readonly payload_bytes: number;
}

interface Look {
  readonly order: 'seq' | 'id';
  readonly bounds: readonly string[];
  readonly conditions: Conditions;
  readonly place: Place | null;
  readonly size: number;
  readonly want: number;
}

interface StretchAnswer {
  readonly edge: string | null;
  readonly edge_at: number | null;
  readonly looked: number;
  readonly rows: readonly FoundRow[];
}

async function lookAt(read: BoundedRead, look: Look): Promise<Stretch<FoundRow> | null> {
  const { place, size, want, conditions } = look;
  const found = await readJson<StretchAnswer>(read, stretchSql(read.schema, look), [
    place?.key[0] ?? null,
    size,
    want,
    ...conditions.parameters,
  ]);
  if (found === null) return null;
  const { edge, edge_at: edgeAt, looked, rows } = found.value;
  return { rows, looked, edge: edge === null ? null : [edge], edgeAt };
}

/** As the writer noted them, so that no payload is read for it; of messages of an older version, from the payload. */
const PAYLOAD_BYTES = `coalesce(o.bytes - octet_length(o.headers::text), octet_length(o.payload::text))`;

/** Where the stretch ends is found in the index alone; the rows between are then read in its order. */
function stretchSql(schema: string, { order, bounds, conditions, place }: Look): string {
  const isOlder = place?.to !== 'newer';
  const [direction, beyond, within, aggregate] = isOlder ? ['DESC', '<', '>=', 'asc'] : ['ASC', '>', '<=', 'desc'];
  const type = order === 'seq' ? 'bigint' : 'uuid';
  const start = place === null ? '$1::text IS NULL' : `%.${order} ${beyond}${place.inclusive ? '=' : ''} $1::${type}`;
  const at = (alias: string): string =>
    [start.replace('%', alias), ...bounds.map((bound) => `${alias}.${bound}`)].join(' AND ');
  const outbox = `${schema}.outbox`;
  const lastOf = `(SELECT w.${order} FROM walked w ORDER BY w.${order} ${aggregate} LIMIT 1)`;
  return `WITH walked AS MATERIALIZED (
      SELECT s.${order} FROM ${outbox} s WHERE ${at('s')} ORDER BY s.${order} ${direction} LIMIT $2::int)
    SELECT json_build_object(
      'edge', ${lastOf}::text,
      'edge_at', (SELECT extract(epoch FROM e.created_at)::float8 * 1000 FROM ${outbox} e WHERE e.${order} = ${lastOf}),
      'looked', (SELECT count(*)::int FROM walked),
      'rows', (SELECT coalesce(json_agg(m), '[]') FROM (
        SELECT ${refColumns('o')}, ${PAYLOAD_BYTES} AS payload_bytes, extract(epoch FROM clock_timestamp() - o.created_at)::float8 * 1000 AS age_ms
        FROM ${outbox} o
        WHERE ${[at('o'), `o.${order} ${within} ${lastOf}`, ...conditions.filters].join(' AND ')}
        ORDER BY o.${order} ${direction} LIMIT $3::int) m))::text AS answer`;
}

function toFound(row: FoundRow): FoundMessage {
  return { ...toMessageRef(row), ageMs: row.age_ms, payloadBytes: row.payload_bytes };
}
