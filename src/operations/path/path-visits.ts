/**
 * Where a message has been: the subscriptions that read it, the consumers that handled it, the participants that have its call on record.
 */
import { topicMatches } from '../../message/topic-pattern.ts';
import { readWireCall } from '../../saga/definition/call-id.ts';
import { readJson, type BoundedRead } from '../reads/bounded.ts';
import type { SubscriptionPassage } from '../reads/messages.ts';
import { leapsSql } from '../reads/written-by.ts';
import type {
  ConsumerVisit,
  ParkedVisit,
  ParticipantVisit,
  PathMessage,
  RelayVisit,
  ReplayVisit,
} from './path-model.ts';

interface ParkedRow {
  readonly place: string;
  readonly state: 'failed' | 'behind';
  readonly reason: string;
  readonly error: string | null;
  readonly attempts: number;
  readonly parked: number;
  readonly next: number | null;
}

const parkedColumns = (due: string): string => `p.state, p.reason, p.error, p.attempts,
  extract(epoch FROM p.parked_at)::float8 * 1000 AS parked, extract(epoch FROM ${due})::float8 * 1000 AS next`;

function toParked({ state, reason, error, attempts, parked, next }: ParkedRow): ParkedVisit {
  return {
    state,
    reason,
    error,
    attempts,
    parkedAt: new Date(parked),
    nextAttemptAt: next === null ? null : new Date(next),
  };
}

interface RelayFacts {
  readonly parked: readonly (ParkedRow & { readonly revised: boolean })[];
  readonly replays: readonly {
    readonly id: string;
    readonly subscription: string;
    readonly topic: string | null;
    readonly requested: number;
    readonly finished: number | null;
    readonly past: boolean;
  }[];
}

/** With what is parked and replayed. Of a message that is not in the log any more, only what is parked is known. */
export async function readRelays(
  read: BoundedRead,
  { id, message }: { readonly id: string; readonly message: PathMessage | null },
  passages: readonly SubscriptionPassage[],
): Promise<readonly RelayVisit[]> {
  const { schema } = read;
  const found = await readJson<RelayFacts>(
    read,
    `SELECT json_build_object(
       'parked', (SELECT coalesce(json_agg(m), '[]') FROM (
         SELECT p.subscription AS place, ${parkedColumns('coalesce(p.next_attempt_at, p.revised_due_at)')}, p.revision IS NOT NULL AS revised
         FROM ${schema}.parked_message p WHERE p.id = $1::uuid) m),
       'replays', (SELECT coalesce(json_agg(m), '[]') FROM (
         SELECT r.id, r.subscription, r.topic, extract(epoch FROM r.requested_at)::float8 * 1000 AS requested,
           extract(epoch FROM r.finished_at)::float8 * 1000 AS finished, r.position > $2::bigint OR r.finished_at IS NOT NULL AS past
         FROM ${schema}.replay r WHERE r.from_seq <= $2::bigint AND r.to_seq >= $2::bigint AND (r.key IS NULL OR r.key = $3::text)
         ORDER BY r.requested_at DESC LIMIT 20) m))::text AS answer`,
    [id, message?.seq ?? null, message?.key ?? null],
  );
  const { parked, replays } = found?.value ?? { parked: [], replays: [] };
  const known = passages.length > 0 ? passages : parked.map(({ place }) => parkedPassage(place));
  return known.map(({ subscription, shard, state }): RelayVisit => {
    const row = parked.find(({ place }) => place === subscription);
    const again = replays.filter(
      (replay) =>
        replay.subscription === subscription &&
        (replay.topic === null || topicMatches(replay.topic, message?.topic ?? '')),
    );
    return {
      subscription,
      shard,
      state,
      parked: row === undefined ? null : toParked(row),
      revised: row?.revised ?? false,
      replays: again.map(toReplay),
    };
  });
}

function parkedPassage(subscription: string): SubscriptionPassage {
  return { subscription, shard: 0, state: 'parked' };
}

function toReplay({ id, requested, finished, past }: RelayFacts['replays'][number]): ReplayVisit {
  return {
    id,
    requestedAt: new Date(requested),
    finishedAt: finished === null ? null : new Date(finished),
    published: past,
  };
}

interface ConsumerFacts {
  readonly marks: readonly { readonly consumer: string; readonly at: number }[];
  readonly parked: readonly ParkedRow[];
  readonly attempts: readonly { readonly consumer: string; readonly attempts: number; readonly at: number }[];
}

/** Consumers are few and their marks many: they are leapt through along the primary keys. */
export async function readConsumers(read: BoundedRead, id: string): Promise<readonly ConsumerVisit[]> {
  const { schema } = read;
  const found = await readJson<ConsumerFacts>(
    read,
    `WITH RECURSIVE ${leapsSql('marking', `${schema}.inbox`, 'consumer')},
       ${leapsSql('parking', `${schema}.parked_delivery`, 'consumer')},
       ${leapsSql('trying', `${schema}.delivery_attempt`, 'consumer')}
     SELECT json_build_object(
       'marks', (SELECT coalesce(json_agg(m), '[]') FROM (
         SELECT i.consumer, extract(epoch FROM i.handled_at)::float8 * 1000 AS at
         FROM marking c JOIN ${schema}.inbox i ON i.consumer = c.consumer AND i.message_id = $1::uuid) m),
       'parked', (SELECT coalesce(json_agg(m), '[]') FROM (
         SELECT p.consumer AS place, ${parkedColumns('p.next_attempt_at')}
         FROM parking c JOIN ${schema}.parked_delivery p ON p.consumer = c.consumer AND p.message_id = $1::uuid) m),
       'attempts', (SELECT coalesce(json_agg(m), '[]') FROM (
         SELECT a.consumer, a.attempts, extract(epoch FROM a.at)::float8 * 1000 AS at
         FROM trying c JOIN ${schema}.delivery_attempt a ON a.consumer = c.consumer AND a.message_id = $1::uuid) m))::text AS answer`,
    [id],
  );
  return found === null ? [] : toVisits(found.value);
}

/** Pure. A parked delivery has a mark as well, which says only that it was taken charge of. */
function toVisits({ marks, parked, attempts }: ConsumerFacts): readonly ConsumerVisit[] {
  const names = new Set([...marks, ...attempts].map(({ consumer }) => consumer));
  for (const { place } of parked) names.add(place);
  return [...names].toSorted().flatMap((consumer): readonly ConsumerVisit[] => {
    const mark = marks.find((each) => each.consumer === consumer);
    const row = parked.find(({ place }) => place === consumer);
    const tried = attempts.find((each) => each.consumer === consumer);
    const count = tried?.attempts ?? null;
    if (row !== undefined) {
      const visit = toParked(row);
      return [{ consumer, state: 'parked', at: visit.parkedAt, attempts: visit.attempts, parked: visit }];
    }
    if (mark !== undefined)
      return [{ consumer, state: 'handled', at: new Date(mark.at), attempts: count, parked: null }];
    if (tried !== undefined)
      return [{ consumer, state: 'suspect', at: new Date(tried.at), attempts: count, parked: null }];
    return [];
  });
}

/** Of a command or its compensation. Participants know a call that was made anew by a name of its own. */
export async function readParticipants(
  read: BoundedRead,
  { command }: PathMessage,
): Promise<readonly ParticipantVisit[]> {
  const { schema } = read;
  if (command === null) return [];
  const found = await readJson<
    readonly (Omit<ParticipantVisit, 'at'> & { readonly call: string; readonly at: number })[]
  >(
    read,
    `WITH RECURSIVE ${leapsSql('named', `${schema}.participant_call`, 'participant')}
     SELECT coalesce(json_agg(m), '[]')::text AS answer FROM (
       SELECT p.participant, p.call, p.state, extract(epoch FROM p.at)::float8 * 1000 AS at
       FROM named n JOIN ${schema}.participant_call p ON p.participant = n.participant AND p.saga_id = $1::uuid
       ORDER BY p.participant, p.at LIMIT 1000) m`,
    [command.run],
  );
  return (found?.value ?? [])
    .filter(({ call }) => readWireCall(call).id === command.call)
    .map(({ participant, state, at }) => ({ participant, state, at: new Date(at) }));
}
