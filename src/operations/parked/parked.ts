/**
 * Looking at parked messages: those that relays could not publish, and those that consumers could not handle.
 */
import { sql } from 'kysely';
import { HoldfastError } from '../../errors.ts';
import { unpackWire } from '../../inbox/delivery/incoming.ts';
import { assertTopicPattern, topicPatternToRegex } from '../../message/topic-pattern.ts';
import type { Database } from '../../postgres/database.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { assertMessageId, checkLimit } from '../reads/messages.ts';
import { ageMs, firstRow, rows, tables, untilMs } from '../reads/reads.ts';
import { REVISES_HEADER } from './payload-revision.ts';
import { isOfGroup, parkedRows, type ParkedKind, type ParkedRowShape, type ParkedState } from './parked-rows.ts';

/** Which parked messages {@link listParked} lists. */
export interface ParkedFilter {
  /** @defaultValue both */
  readonly kind?: ParkedKind | undefined;
  readonly id?: string | undefined;
  /** Name of the subscription or consumer. */
  readonly where?: string | undefined;
  /** A topic pattern. */
  readonly topic?: string | undefined;
  readonly key?: string | undefined;
  readonly state?: ParkedState | undefined;
  /** Id of a group, as {@link parkedGroups} gives it. */
  readonly group?: string | undefined;
  /** The last message of the page before; the list goes on behind it, also when it has gone meanwhile. */
  readonly after?: ParkedPlaceInList | undefined;
  /**
   * 1 to 1000.
   *
   * @defaultValue 50
   */
  readonly limit?: number | undefined;
}

/** A parked message, as {@link listParked} lists it. */
export interface ParkedSummary {
  readonly kind: ParkedKind;
  /** The subscription or consumer. */
  readonly where: string;
  readonly id: string;
  /** Place in the log; null for a consumer's, which keeps its own copy. */
  readonly seq: number | null;
  /** Place in the line of its key; the smallest is dealt with first. */
  readonly position: number;
  readonly topic: string;
  readonly key: string | null;
  readonly state: ParkedState;
  readonly reason: string;
  readonly error: string | null;
  readonly attempts: number;
  readonly parkedAt: Date;
  readonly parkedForMs: number;
  /** Until it is tried again by itself; 0 when it is due; null: not by itself. */
  readonly retryInMs: number | null;
}

/** Everything known about one parked message. See {@link showParked}. */
export interface ParkedDetails extends ParkedSummary {
  /** Its payload: what will be published or handled. */
  readonly data: unknown;
  /** A person has put this payload in the place of another: see {@link reviseParked}. */
  readonly revised: boolean;
  /** Messages of its key that wait behind it, in the same place. */
  readonly waitingBehind: number;
  /** The first parked message of its key, when that is another one: the one to deal with. */
  readonly headId: string | null;
}

/** Names the place of a message in a list. */
export type ParkedPlaceInList = Pick<ParkedSummary, 'kind' | 'where' | 'id' | 'position'>;

const FILTERS = ['kind', 'id', 'where', 'topic', 'key', 'state', 'group', 'after', 'limit'] as const;

/**
 * Place by place, those of relays first, in each the oldest message first: so it goes along the primary keys, however many are parked. Of one
 * key in the order of its line. Rejects with HF_CONFIG or HF_OPTION_UNKNOWN for a filter that is not usable.
 */
export async function listParked(database: Database, filter: ParkedFilter = {}): Promise<readonly ParkedSummary[]> {
  refuseUnknownOptions(filter, FILTERS, 'listParked');
  const { kind, after } = filter;
  const limit = checkLimit(filter.limit ?? 50);
  const wants = (which: ParkedKind): boolean => kind === undefined || kind === which;
  const ofRelays =
    wants('relay') && after?.kind !== 'consumer'
      ? await rows(database, partOfList(database, 'relay', filter).limit(limit))
      : [];
  const left = limit - ofRelays.length;
  const ofConsumers =
    wants('consumer') && left > 0 ? await rows(database, partOfList(database, 'consumer', filter).limit(left)) : [];
  return [...ofRelays, ...ofConsumers].map(toParkedSummary);
}

/** Those of one table, in the order of an index of it. Throws as {@link listParked} rejects. */
function partOfList(database: Database, kind: ParkedKind, filter: ParkedFilter) {
  const { key, after } = filter;
  // A relay's position is its seq. Consumers have no index by position but within a key.
  const order = kind === 'relay' || key !== undefined ? 'position' : 'id';
  let query = parkedQuery(database).where('kind', '=', kind).orderBy('place').orderBy(order);
  if (after?.kind === kind) {
    assertMessageId(after.id);
    const at = order === 'id' ? sql`${after.id}::uuid` : sql`${after.position}::bigint`;
    query = query.where(sql<boolean>`(place, ${sql.ref(order)}) > (${after.where}, ${at})`);
  }
  return narrowed(query, filter);
}

type ParkedQuery = ReturnType<typeof parkedQuery>;

/** Those of the query that fit. Throws as {@link listParked} rejects. */
export function narrowed(
  given: ParkedQuery,
  { id, where, topic, key, state, group }: Omit<ParkedFilter, 'kind' | 'after' | 'limit'>,
): ParkedQuery {
  let query = given;
  if (id !== undefined) query = query.where('id', '=', id);
  if (where !== undefined) query = query.where('place', '=', where);
  if (key !== undefined) query = query.where('key', '=', key);
  if (state !== undefined) query = query.where('state', '=', state);
  if (topic !== undefined) {
    assertTopicPattern(topic);
    query = query.where('topic', '~', topicPatternToRegex(topic));
  }
  if (group !== undefined) query = query.where(isOfGroup(group));
  return query;
}

/** A message can be parked in several places. Rejects with HF_NOT_FOUND when it is in none. */
export async function showParked(database: Database, id: string): Promise<readonly ParkedDetails[]> {
  assertMessageId(id);
  const found = await rows(
    database,
    parkedQuery(database).where('id', '=', id).orderBy('kind', 'desc').orderBy('place'),
  );
  if (found.length === 0) {
    throw new HoldfastError('HF_NOT_FOUND', `No message ${id} is parked.`, {
      advice: '`holdfast parked ls` shows those that are; it may have gone on meanwhile.',
      details: { id },
    });
  }
  return Promise.all(found.map(async (row) => ({ ...toParkedSummary(row), ...(await surroundings(database, row)) })));
}

/** With times, by the database's clock. */
// Its type is what the builder of queries infers.
// oxlint-disable-next-line explicit-module-boundary-types
export function parkedQuery(database: Database) {
  return tables(database)
    .selectFrom(parkedRows(database).as('p'))
    .selectAll('p')
    .select([ageMs('parked_at').as('age_ms'), untilMs('next_attempt_at').as('retry_ms')]);
}

async function surroundings(
  database: Database,
  row: ListedRow,
): Promise<Pick<ParkedDetails, 'data' | 'revised' | 'waitingBehind' | 'headId'>> {
  const content = row.kind === 'relay' ? await loggedData(database, row) : await deliveredData(database, row);
  if (row.key === null) return { ...content, waitingBehind: 0, headId: null };
  const ofKey = parkedQuery(database)
    .where('kind', '=', row.kind)
    .where('place', '=', row.place)
    .where('key', '=', row.key);
  const [head, waiting] = await Promise.all([
    firstRow(database, ofKey.orderBy('position').limit(1)),
    rows(
      database,
      ofKey
        .where('position', '>', row.position)
        .clearSelect()
        .select(sql<number>`count(*)`.as('count')),
    ),
  ]);
  return {
    ...content,
    waitingBehind: waiting[0]?.count ?? 0,
    headId: head === undefined || head.id === row.id ? null : head.id,
  };
}

type Content = Pick<ParkedDetails, 'data' | 'revised'>;

/** As it will go out. */
async function loggedData(database: Database, row: ListedRow): Promise<Content> {
  const found = await firstRow(
    database,
    tables(database)
      .selectFrom('parked_message as p')
      .leftJoin('outbox as o', 'o.seq', 'p.seq')
      .where('p.subscription', '=', row.place)
      .where('p.seq', '=', row.position)
      .select(sql<string | null>`coalesce((p.revision -> 'payload')::text, o.payload::text)`.as('payload'))
      .select(sql<boolean>`p.revision is not null`.as('revised')),
  );
  const payload = found?.payload ?? null;
  return { data: payload === null ? null : (JSON.parse(payload) as unknown), revised: found?.revised ?? false };
}

async function deliveredData(database: Database, row: ListedRow): Promise<Content> {
  const found = await firstRow(
    database,
    tables(database)
      .selectFrom('parked_delivery')
      .where('consumer', '=', row.place)
      .where('message_id', '=', row.id)
      .select(sql<string>`envelope::text`.as('envelope')),
  );
  return found === undefined ? { data: null, revised: false } : contentOf(unpackWire(found.envelope));
}

/** What could not be decoded is shown as it came. */
function contentOf(wire: string): Content {
  try {
    const envelope: unknown = JSON.parse(wire);
    if (typeof envelope !== 'object' || envelope === null || !('data' in envelope))
      return { data: envelope, revised: false };
    const headers = 'headers' in envelope ? envelope.headers : null;
    const revised = typeof headers === 'object' && headers !== null && Object.hasOwn(headers, REVISES_HEADER);
    return { data: envelope.data, revised };
  } catch {
    return { data: wire, revised: false };
  }
}

export function toParkedSummary(row: ListedRow): ParkedSummary {
  return {
    kind: row.kind,
    where: row.place,
    id: row.id,
    seq: row.seq === null ? null : Number(row.seq),
    position: Number(row.position),
    topic: row.topic,
    key: row.key,
    state: row.state,
    reason: row.reason,
    error: row.error,
    attempts: row.attempts,
    parkedAt: new Date(row.parked_at),
    parkedForMs: row.age_ms,
    retryInMs: row.retry_ms === null ? null : Math.max(0, row.retry_ms),
  };
}

/** A row of {@link parkedQuery}. */
export interface ListedRow extends Omit<ParkedRowShape, 'next_attempt_at' | 'fingerprint'> {
  readonly age_ms: number;
  readonly retry_ms: number | null;
}
