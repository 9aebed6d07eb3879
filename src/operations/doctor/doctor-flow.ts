/**
 * The doctor's look at the flow: subscriptions nobody serves, lag, dead letters, and retention that is held up or too short.
 */
import { isHoldfastError } from '../../errors.ts';
import { PARK_REASONS, type ParkReason } from '../../inbox/handlers/decide.ts';
import type { Database } from '../../postgres/database.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import type { Check, CheckFinding } from './finding.ts';
import { consumersSql, rowsBySql } from '../reads/reads.ts';
import { relayStatus, type RelayStatus, type ReplayStatus, type SubscriptionStatus } from '../relay/relay-status.ts';

const LATE_MS = 60_000;
/** The third time a relay is past a message before it publishes it (src/relay/delivery/replay.ts), so that is not what keeps it any more. */
const BEGUN_IN_VAIN = 4;
const DAY_MS = 86_400_000;

export const checkFlow: Check = async (database) => {
  const unseen: CheckFinding[] = [];
  const [status, short, unhandled, refused, apart] = await Promise.all([
    relayStatus(database),
    orUnseen(shortInboxes(database), 'how far inboxes reach back', unseen),
    orUnseen(parkedFor(database, PARK_REASONS.noHandler), 'what consumers have parked', unseen),
    orUnseen(parkedFor(database, PARK_REASONS.unverified), 'what consumers have refused', unseen),
    orUnseen(apartFromRelay(database), 'where consumers receive from', unseen),
  ]);
  return [
    ...judgeFlow(status, short, unhandled),
    ...refused.map(signaturesRefused),
    ...apart.map(brokersDiffer),
    ...unseen,
  ];
};

/** A relay's role need not see what consumers keep: then nothing is known of it. */
async function orUnseen<T>(found: Promise<readonly T[]>, what: string, unseen: CheckFinding[]): Promise<readonly T[]> {
  try {
    return await found;
  } catch (error) {
    if (!isHoldfastError(error, 'HF_PERMISSION')) throw error;
    unseen.push({
      level: 'note',
      check: 'doctor.unseen',
      what: `The role that asks may not see ${what}: ${error.cause instanceof Error ? error.cause.message : error.message}`,
      advice: 'Ask as a role with the rights of a viewer (docs/roles.md), or as the owner of the schema.',
    });
    return [];
  }
}

/** Messages of a consumer that were parked for one reason. */
export interface ParkedOfConsumer {
  readonly consumer: string;
  readonly count: number;
  /** Some of them. */
  readonly topics: readonly string[];
}

/** A consumer whose queue a subscription of this database publishes to, at another broker. */
interface Apart {
  readonly consumer: string;
  readonly consumes: string;
  readonly subscription: string;
  readonly publishes: string;
}

function brokersDiffer({ consumer, consumes, subscription, publishes }: Apart): CheckFinding {
  return {
    level: 'warn',
    check: 'flow.brokers',
    what: `Consumer ${consumer} receives from ${consumes}, but subscription ${subscription} publishes to its queue at ${publishes}.`,
    advice: 'Give relay and consumer the same broker and the same prefix or schema, unless these are two names of one.',
  };
}

function signaturesRefused({ consumer, count, topics }: ParkedOfConsumer): CheckFinding {
  return {
    level: 'warn',
    check: 'flow.signatures',
    what: `Consumer ${consumer} has ${count} parked ${count === 1 ? 'message' : 'messages'} whose signature is not accepted, which say that they are: ${topics.join(', ')}.`,
    advice:
      'holdfast parked groups says what is wrong. Are they yours, then the relay that sends here does not sign, or with a key that this consumer does not have; else somebody writes to the broker: discard them.',
    repair: `holdfast parked groups --consumer ${consumer}`,
  };
}

/** Pure. */
export function judgeFlow(
  status: RelayStatus,
  shortInboxConsumers: readonly string[],
  /** Parked because no process of the consumer had a handler in time. */
  unhandled: readonly ParkedOfConsumer[] = [],
): readonly CheckFinding[] {
  const { subscriptions, log } = status;
  const findings: CheckFinding[] = [
    ...subscriptions.flatMap(judgeSubscription),
    ...status.replays.flatMap(judgeReplay),
  ];
  if (subscriptions.length === 0) {
    findings.push({
      level: 'warn',
      check: 'flow.no-subscription',
      what: 'No relay has run on this database yet: nothing is published, and nothing is pruned.',
      advice: 'Start one: holdfast relay --route TOPICS=QUEUE.',
      repair: 'holdfast relay --route TOPICS=QUEUE',
    });
  }

  // The log is pruned up to the slowest subscription and the longest retention.
  const retentionMs = Math.max(0, ...subscriptions.map((each) => each.retentionMs ?? 0));
  const slowest = subscriptions.toSorted((a, b) => a.high - b.high)[0];
  if (
    slowest !== undefined &&
    log.oldestAgeMs !== null &&
    log.oldestAgeMs > retentionMs + DAY_MS &&
    slowest.behind > 0
  ) {
    findings.push({
      level: 'warn',
      check: 'flow.retention-held-up',
      what: `The log reaches back ${days(log.oldestAgeMs)}, although ${days(retentionMs)} are to be kept: ${name(slowest)} has not read it.`,
      advice: `Start a relay with it, or drop it for good: holdfast subscription drop ${slowest.name} --reason '…'.`,
      repair: `holdfast subscription drop ${slowest.name} --reason '…'`,
    });
  }
  for (const { consumer, dead } of status.consumers) {
    if (dead > 0) findings.push(deadLetters(`Consumer ${consumer}`, dead));
  }
  for (const { consumer, count, topics } of unhandled) {
    findings.push({
      level: 'warn',
      check: 'flow.no-handler',
      what: `Consumer ${consumer} has ${count} parked ${count === 1 ? 'message' : 'messages'} that none of its processes has a handler for: ${topics.join(', ')}.`,
      advice:
        'Start a process that has one: it takes them up by itself, in order. Topics that it need not read belong into its `ignore`, or out of the route.',
    });
  }
  for (const consumer of shortInboxConsumers) {
    findings.push({
      level: 'note',
      check: 'flow.inbox-retention',
      what: `The inbox of ${consumer} does not reach back as far as the log: a replay from before could repeat effects.`,
      advice: 'Fine for a new consumer; else keep its inbox longer than the log (retention of the consumer).',
    });
  }
  return findings;
}

function judgeSubscription(subscription: SubscriptionStatus): readonly CheckFinding[] {
  const { live, lease, trouble, oldestUnpublishedAgeMs, stalls, lapses, probing, parked } = subscription;
  const findings: CheckFinding[] = [];
  const who = name(subscription);
  if (!live) {
    findings.push({
      level: 'error',
      check: 'flow.no-lease',
      what: `Nobody serves ${who}${lease === null ? '' : `; ${lease.owner} held it last`}.`,
      advice: `Start a relay with it, or drop it for good: holdfast subscription drop ${subscription.name} --reason '…'.`,
      repair: `holdfast subscription drop ${subscription.name} --reason '…'`,
    });
  }
  if (live && trouble !== null) {
    findings.push({
      level: 'error',
      check: 'flow.broker',
      what: `${who} cannot publish: ${trouble}`,
      advice: 'See to the broker; the relay goes on by itself, and nothing is lost.',
    });
  }
  if (live && trouble === null && oldestUnpublishedAgeMs !== null && oldestUnpublishedAgeMs > LATE_MS) {
    findings.push({
      level: 'warn',
      check: 'flow.lag',
      what: `${who} is ${Math.round(oldestUnpublishedAgeMs / 1000)} s behind.`,
      advice: 'Look at the load of relay, database and broker; `shards` shares the work among several relays.',
    });
  }
  if (probing || stalls >= 2) {
    findings.push({
      level: 'warn',
      check: 'flow.stalls',
      what: `Relays died ${stalls} times in a row at the same place of ${who}.`,
      advice:
        'A message may be killing them: the relay looks for it by itself and parks it. See why they died (memory?).',
    });
  }
  if (lapses >= 2) {
    findings.push({
      level: 'warn',
      check: 'flow.lapses',
      what: `Relays of ${who} stood still for longer than their lease ${lapses} times in a row, and got nowhere.`,
      advice:
        'They live, but the lease is too short for the pauses of their machines: give them more processor time, or a longer `lease`.',
    });
  }
  if (parked.dead > 0) findings.push(deadLetters(who, parked.dead));
  return findings;
}

function judgeReplay({ id, subscription, position, begunTimes }: ReplayStatus): readonly CheckFinding[] {
  if (begunTimes < BEGUN_IN_VAIN) return [];
  return [
    {
      level: 'warn',
      check: 'flow.replay',
      what: `The replay ${id} of subscription ${subscription} was begun ${begunTimes} times at seq ${position} and does not get on.`,
      advice:
        'A message that kills relays would have been passed over by now. What they fail of instead stands in their logs: reading the log of the outbox, or a lease that is lost each time.',
    },
  ];
}

function deadLetters(where: string, count: number): CheckFinding {
  return {
    level: 'warn',
    check: 'flow.dead-letters',
    what: `${where} has ${count} parked ${count === 1 ? 'message' : 'messages'} that no retry will take up.`,
    advice: 'holdfast parked ls --state dead; then retry or discard them.',
    repair: 'holdfast parked ls --state dead',
  };
}

/**
 * Consumers of this database none of whose marks is as old as the log. The block-range index on handled_at makes both answers cheap:
 * there are old blocks, or there are none.
 */
async function shortInboxes(database: Database): Promise<readonly string[]> {
  const s = quoteIdentifier(database.schema);
  const rows = await rowsBySql<{ consumer: string }>(
    database,
    `WITH RECURSIVE ${consumersSql(database.schema)}
     SELECT c.consumer FROM consumers c
     WHERE c.consumer IS NOT NULL AND NOT EXISTS (
       SELECT 1 FROM ${s}.inbox i WHERE i.consumer = c.consumer
         AND i.handled_at < (SELECT created_at FROM ${s}.outbox ORDER BY seq LIMIT 1) + interval '1 day')
       AND (SELECT created_at FROM ${s}.outbox ORDER BY seq LIMIT 1) < now() - interval '1 day'`,
  );
  return rows.map(({ consumer }) => consumer);
}

async function parkedFor(database: Database, reason: ParkReason): Promise<readonly ParkedOfConsumer[]> {
  const rows = await rowsBySql<{ consumer: string; count: string; topics: readonly string[] }>(
    database,
    `SELECT consumer, count(*) AS count, to_json((array_agg(DISTINCT topic))[1:5]) AS topics
     FROM ${quoteIdentifier(database.schema)}.parked_delivery
     WHERE state = 'failed' AND reason = $1 GROUP BY consumer ORDER BY consumer`,
    [reason],
  );
  return rows.map(({ consumer, count, topics }) => ({ consumer, count: Number(count), topics }));
}

/** None when another subscription publishes where it receives. */
async function apartFromRelay(database: Database): Promise<readonly Apart[]> {
  const s = quoteIdentifier(database.schema);
  return rowsBySql<Apart>(
    database,
    `SELECT consumer, consumes, min(subscription) AS subscription, min(publishes) AS publishes FROM (
       SELECT c.consumer, c.identity::jsonb ->> 'broker' AS consumes, s.name AS subscription, s.broker AS publishes
       FROM ${s}.delivery_attempt c JOIN ${s}.subscription s ON s.shard = 0 AND s.broker IS NOT NULL
       WHERE c.identity::jsonb ->> 'broker' IS NOT NULL AND EXISTS (
         SELECT 1 FROM jsonb_array_elements(s.settings -> 'routes') AS route
         WHERE c.identity::jsonb -> 'queues' ? (route ->> 'to'))) AS pair
     GROUP BY consumer, consumes HAVING bool_and(publishes <> consumes) ORDER BY consumer`,
  );
}

function name({ name: own, shard, shards }: SubscriptionStatus): string {
  return `subscription ${own}${shards > 1 ? ` (shard ${shard} of ${shards})` : ''}`;
}

function days(ms: number): string {
  return ms >= DAY_MS ? `${(ms / DAY_MS).toFixed(1)} days` : `${(ms / 3_600_000).toFixed(1)} hours`;
}
