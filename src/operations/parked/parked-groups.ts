/**
 * Failed parked messages by what they have in common: place, topic, reason and kind of error. They may be a million, so they are grouped
 * and counted where they are, in one look at the tables.
 */
import { sql } from 'kysely';
import type { Database } from '../../postgres/database.ts';
import type { SchemaHandle } from '../../postgres/schema-handle.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { badOption } from '../../runtime/options.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { checkLimit } from '../reads/messages.ts';
import { rows, rowsBySql, tables } from '../reads/reads.ts';
import { groupIdOf, parkedMeant, type ParkedCriteria, type ParkedKind } from './parked-rows.ts';

/** Which groups {@link parkedGroups} shows, and how finely they are counted over time. */
export interface ParkedGroupFilter extends ParkedCriteria {
  /**
   * Length of one bucket of the counts over time; there are 24.
   *
   * @defaultValue '1h'
   */
  readonly bucket?: Duration | undefined;
  /**
   * Groups, the largest first: 1 to 1000.
   *
   * @defaultValue 50
   */
  readonly limit?: number | undefined;
}

/** Failed messages of one place and topic, parked for one reason with one kind of error. */
export interface ParkedGroup {
  /** Names the group for {@link planJob} and the command line. The same for as long as such messages are parked. */
  readonly id: string;
  readonly kind: ParkedKind;
  /** The subscription or consumer. */
  readonly where: string;
  readonly topic: string;
  readonly reason: string;
  /** Their error without what differs from message to message; null: they have none. */
  readonly error: string | null;
  readonly messages: number;
  /** Of them, those that nobody takes up again by itself. */
  readonly dead: number;
  readonly firstAt: Date;
  readonly lastAt: Date;
  /** How many were parked in each of the last 24 buckets, the newest last. */
  readonly recent: readonly number[];
  /** Id of one of them, to look at with {@link showParked}. */
  readonly example: string;
}

/** What {@link parkedGroups} found. */
export interface ParkedGroups {
  readonly groups: readonly ParkedGroup[];
  /** All that match, those of groups beyond the limit too. */
  readonly messages: number;
  /** How many groups there are. */
  readonly total: number;
  /** Milliseconds of one bucket. */
  readonly bucketMs: number;
}

const BUCKETS = 24;

/** Throws HF_CONFIG, HF_DURATION or HF_OPTION_UNKNOWN for a filter that is not usable. */
export async function parkedGroups(database: Database, filter: ParkedGroupFilter = {}): Promise<ParkedGroups> {
  const { bucket = '1h', limit = 50, ...criteria } = filter;
  const bucketMs = parseDuration(bucket, 'bucket');
  if (bucketMs < 1) throw badOption('bucket', 'is nothing', 'Give a duration such as 5m or 1h.');
  const found = await rows(database, groupsQuery(database, criteria, { bucketMs, limit: checkLimit(limit) }));
  const patterns = await patternsOf(database, found);
  return {
    groups: found.map((row, index) => ({
      id: groupIdOf({ kind: row.kind, where: row.place, topic: row.topic, fingerprint: row.fingerprint }),
      kind: row.kind,
      where: row.place,
      topic: row.topic,
      reason: row.reason,
      error: patterns[index] ?? null,
      messages: row.messages,
      dead: row.dead,
      firstAt: new Date(row.first_at),
      lastAt: new Date(row.last_at),
      recent: recentOf(row.recent),
      example: row.example,
    })),
    messages: found[0]?.all_messages ?? 0,
    total: found[0]?.all_groups ?? 0,
    bucketMs,
  };
}

interface GroupRow {
  readonly kind: ParkedKind;
  readonly place: string;
  readonly topic: string;
  readonly reason: string;
  readonly fingerprint: string;
  readonly messages: number;
  readonly dead: number;
  readonly first_at: Date;
  readonly last_at: Date;
  /** By the age in buckets. */
  readonly recent: Readonly<Record<string, number>> | null;
  readonly example: string;
  readonly all_messages: number;
  readonly all_groups: number;
}

/** First by bucket as well, so that each row is touched once; what is left to be put together are a few rows a group. */
function groupsQuery(
  database: Pick<SchemaHandle, 'schema'>,
  criteria: ParkedCriteria,
  { bucketMs, limit }: { readonly bucketMs: number; readonly limit: number },
) {
  const age = sql`extract(epoch from statement_timestamp() - parked_at) * 1000 / ${bucketMs}::float8`;
  const same = ['kind', 'place', 'topic', 'reason', 'fingerprint'] as const;
  const counted = tables(database)
    .selectFrom(parkedMeant(database, criteria).as('meant'))
    .select([...same, sql<number>`greatest(0, least(${BUCKETS}, floor(${age})))::int`.as('bucket')])
    .select([sql`count(*)`.as('messages'), sql`count(*) filter (where state = 'dead')`.as('dead')])
    .select([sql<Date>`min(parked_at)`.as('first_at'), sql<Date>`max(parked_at)`.as('last_at')])
    .select(sql<string>`min(id::text collate "C")`.as('example'))
    .groupBy([...same, 'bucket']);
  return tables(database)
    .selectFrom(counted.as('counted'))
    .select([...same, sql<number>`sum(messages)::float8`.as('messages'), sql<number>`sum(dead)::float8`.as('dead')])
    .select([sql<Date>`min(first_at)`.as('first_at'), sql<Date>`max(last_at)`.as('last_at')])
    .select(sql<GroupRow['recent']>`json_object_agg(bucket, messages) filter (where bucket < ${BUCKETS})`.as('recent'))
    .select(sql<string>`min(example)`.as('example'))
    .select(sql<number>`(sum(sum(messages)) over ())::float8`.as('all_messages'))
    .select(sql<number>`(count(*) over ())::float8`.as('all_groups'))
    .groupBy([...same])
    .orderBy('messages', 'desc')
    .orderBy('place')
    .orderBy('fingerprint')
    .limit(limit)
    .$castTo<GroupRow>();
}

/** Pure. */
function recentOf(byAge: GroupRow['recent']): readonly number[] {
  return Array.from({ length: BUCKETS }, (_, index) => byAge?.[String(BUCKETS - 1 - index)] ?? 0);
}

/** Of one message of each group, for only these are read. One that has gone on meanwhile has none. */
async function patternsOf(database: SchemaHandle, groups: readonly GroupRow[]): Promise<readonly (string | null)[]> {
  const s = quoteIdentifier(database.schema);
  const found = await rowsBySql<{ readonly patterns: string }>(
    database,
    `SELECT coalesce(json_agg(${s}.error_pattern(e.error) ORDER BY asked.n), '[]')::text AS patterns
     FROM unnest($1::text[], $2::text[], $3::uuid[]) WITH ORDINALITY AS asked (kind, place, id, n)
     LEFT JOIN LATERAL (
       SELECT m.error FROM ${s}.parked_message m
         WHERE asked.kind = 'relay' AND m.subscription = asked.place AND m.id = asked.id
       UNION ALL
       SELECT d.error FROM ${s}.parked_delivery d
         WHERE asked.kind = 'consumer' AND d.consumer = asked.place AND d.message_id = asked.id
       LIMIT 1) AS e ON true`,
    [groups.map(({ kind }) => kind), groups.map(({ place }) => place), groups.map(({ example }) => example)],
  );
  return JSON.parse(found[0]?.patterns ?? '[]') as (string | null)[];
}
