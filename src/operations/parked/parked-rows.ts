/**
 * The rows of both tables of parked messages as one, and what narrows them: the same words for lists, groups and acts on many.
 */
import { sql, type RawBuilder } from 'kysely';
import { HoldfastError } from '../../errors.ts';
import { PARK_REASONS } from '../../inbox/handlers/decide.ts';
import { assertTopicPattern, topicPatternToRegex } from '../../message/topic-pattern.ts';
import type { SchemaHandle } from '../../postgres/schema-handle.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { tables } from '../reads/reads.ts';

/** relay: not published. consumer: not handled. */
export type ParkedKind = 'relay' | 'consumer';

/** failed: will be tried again by itself; one without a handler, as soon as a process has one. dead: only a person will. behind: waits for an earlier one of its key. */
export type ParkedState = 'failed' | 'behind' | 'dead';

/**
 * Which failed messages are meant; what is left out does not narrow. Those that wait behind another one go on with it, and are never meant.
 *
 * @example
 * const dead = { consumer: 'billing', topic: 'order.*', dead: true };
 */
export interface ParkedCriteria {
  /** Parked by the relay of this subscription. Not together with `consumer`. */
  readonly subscription?: string | undefined;
  /** Parked by this consumer. */
  readonly consumer?: string | undefined;
  /** A topic pattern. */
  readonly topic?: string | undefined;
  readonly key?: string | undefined;
  /** Id of a group, as {@link parkedGroups} gives it. */
  readonly group?: string | undefined;
  /** Only those that nobody takes up again by itself. */
  readonly dead?: boolean | undefined;
  /** Parked at or after; before. By the database's clock. */
  readonly since?: Date | undefined;
  readonly until?: Date | undefined;
}

const CRITERIA = ['subscription', 'consumer', 'topic', 'key', 'group', 'dead', 'since', 'until'] as const;

/** What the id of a group says. */
export interface ParkedGroupId {
  readonly kind: ParkedKind;
  readonly where: string;
  readonly topic: string;
  readonly fingerprint: string;
}

export function groupIdOf({ kind, where, topic, fingerprint }: ParkedGroupId): string {
  return `${kind}:${where}:${topic}:${fingerprint}`;
}

/** Pure. Throws HF_CONFIG. The place may have colons in its name, the others have none. */
export function readGroupId(text: string): ParkedGroupId {
  const [, kind, where = '', topic = '', fingerprint = ''] =
    /^(relay|consumer):(.+):([^:]+):([0-9a-f]{12})$/s.exec(text) ?? [];
  if (kind === 'relay' || kind === 'consumer') return { kind, where, topic, fingerprint };
  throw new HoldfastError('HF_CONFIG', `${JSON.stringify(text)} is not the id of a group.`, {
    advice: '`holdfast parked groups` shows them, such as relay:main:order.placed:0f3a5c7e9b1d.',
  });
}

/** Both tables as one. PostgreSQL pushes conditions down into either side. */
// Its type is what the builder of queries infers.
// oxlint-disable-next-line explicit-module-boundary-types
export function parkedRows(database: Pick<SchemaHandle, 'schema'>) {
  // Revised ones are due apart from the others.
  const ofRelay = sql<Date | null>`coalesce(next_attempt_at, revised_due_at)`;
  const stateBy = (due: RawBuilder<unknown>) =>
    sql<ParkedState>`case when state = 'failed' and ${due} is null and reason <> ${sql.lit(PARK_REASONS.noHandler)} then 'dead' else state end`.as(
      'state',
    );
  // Of rows that were parked before there were fingerprints, it is made now.
  const fingerprint = sql<string>`coalesce(fingerprint, ${sql.raw(quoteIdentifier(database.schema))}.error_fingerprint(reason, error))`;
  const same = ['topic', 'key', 'reason', 'error', 'attempts', 'parked_at'] as const;
  const relay = tables(database)
    .selectFrom('parked_message')
    .select([sql<ParkedKind>`'relay'::text`.as('kind'), 'subscription as place', 'id', 'seq', 'seq as position'])
    .select([...same, stateBy(ofRelay), ofRelay.as('next_attempt_at'), fingerprint.as('fingerprint')]);
  const consumer = tables(database)
    .selectFrom('parked_delivery')
    .select([sql<ParkedKind>`'consumer'::text`.as('kind'), 'consumer as place', 'message_id as id'])
    .select([sql<Int8 | null>`null::bigint`.as('seq'), 'position'])
    .select([...same, stateBy(sql.ref('next_attempt_at')), 'next_attempt_at', fingerprint.as('fingerprint')]);
  return tables(database)
    .selectFrom(relay.$castTo<ParkedRowShape>().unionAll(consumer.$castTo<ParkedRowShape>()).as('p'))
    .selectAll('p');
}

/** Those that are meant. Throws HF_CONFIG or HF_OPTION_UNKNOWN for criteria that cannot be used. */
// Its type is what the builder of queries infers.
// oxlint-disable-next-line explicit-module-boundary-types
export function parkedMeant(database: Pick<SchemaHandle, 'schema'>, criteria: ParkedCriteria) {
  refuseUnknownOptions(criteria, CRITERIA, 'the selection of parked messages');
  const { subscription, consumer, topic, key, group, dead, since, until } = criteria;
  if (subscription !== undefined && consumer !== undefined) {
    throw new HoldfastError('HF_CONFIG', 'Both a subscription and a consumer are given.', {
      advice: 'Give one of them.',
    });
  }
  let query = parkedRows(database).where('state', 'in', dead === true ? ['dead'] : ['failed', 'dead']);
  if (subscription !== undefined) query = query.where('kind', '=', 'relay').where('place', '=', subscription);
  if (consumer !== undefined) query = query.where('kind', '=', 'consumer').where('place', '=', consumer);
  if (topic !== undefined) {
    assertTopicPattern(topic);
    query = query.where('topic', '~', topicPatternToRegex(topic));
  }
  if (key !== undefined) query = query.where('key', '=', key);
  if (group !== undefined) query = query.where(isOfGroup(group));
  if (since !== undefined) query = query.where('parked_at', '>=', since);
  if (until !== undefined) query = query.where('parked_at', '<', until);
  return query;
}

/** Whether a row of {@link parkedRows} is one of the group. Throws HF_CONFIG. */
export function isOfGroup(group: string): RawBuilder<boolean> {
  const { kind, where, topic, fingerprint } = readGroupId(group);
  return sql<boolean>`(kind = ${kind} and place = ${where} and topic = ${topic} and fingerprint = ${fingerprint})`;
}

type Int8 = string | number | bigint;

/** A row of either table, as queries have it. */
export interface ParkedRowShape {
  readonly kind: ParkedKind;
  readonly place: string;
  readonly id: string;
  readonly seq: Int8 | null;
  readonly position: Int8;
  readonly topic: string;
  readonly key: string | null;
  readonly state: ParkedState;
  readonly reason: string;
  readonly error: string | null;
  readonly attempts: number;
  readonly parked_at: Date;
  readonly next_attempt_at: Date | null;
  readonly fingerprint: string;
}
