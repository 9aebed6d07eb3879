/**
 * The doctor's look at the flow: subscriptions nobody serves, lag, dead letters, and retention that is held up or too short.
 */
import type { Database } from '../postgres/database.ts';
import { quoteIdentifier } from '../postgres/quoting.ts';
import { translateSqlError } from '../postgres/sql-state.ts';
import type { Check, Finding } from './finding.ts';
import { consumersSql } from './reads.ts';
import { relayStatus, type RelayStatus, type SubscriptionStatus } from './relay-status.ts';

const LATE_MS = 60_000;
const DAY_MS = 86_400_000;

export const checkFlow: Check = async (database) => {
  const [status, short] = await Promise.all([relayStatus(database), shortInboxes(database)]);
  return judgeFlow(status, short);
};

/** Pure. */
export function judgeFlow(status: RelayStatus, shortInboxConsumers: readonly string[]): readonly Finding[] {
  const { subscriptions, log } = status;
  const findings: Finding[] = subscriptions.flatMap(judgeSubscription);
  if (subscriptions.length === 0) {
    findings.push({
      level: 'warn',
      check: 'flow.no-subscription',
      what: 'No relay has run on this database yet: nothing is published, and nothing is pruned.',
      advice: 'Start one: holdfast relay --route TOPICS=QUEUE.',
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
    });
  }
  for (const { consumer, dead } of status.consumers) {
    if (dead > 0) findings.push(deadLetters(`Consumer ${consumer}`, dead));
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

function judgeSubscription(subscription: SubscriptionStatus): readonly Finding[] {
  const { live, lease, trouble, oldestUnpublishedAgeMs, stalls, probing, parked } = subscription;
  const findings: Finding[] = [];
  const who = name(subscription);
  if (!live) {
    findings.push({
      level: 'error',
      check: 'flow.no-lease',
      what: `Nobody serves ${who}${lease === null ? '' : `; ${lease.owner} held it last`}.`,
      advice: `Start a relay with it, or drop it for good: holdfast subscription drop ${subscription.name} --reason '…'.`,
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
  if (parked.dead > 0) findings.push(deadLetters(who, parked.dead));
  return findings;
}

function deadLetters(where: string, count: number): Finding {
  return {
    level: 'warn',
    check: 'flow.dead-letters',
    what: `${where} has ${count} parked ${count === 1 ? 'message' : 'messages'} that no retry will take up.`,
    advice: 'holdfast parked ls --state dead; then retry or discard them.',
  };
}

/**
 * Consumers of this database none of whose marks is as old as the log. The block-range index on handled_at makes both answers cheap:
 * there are old blocks, or there are none.
 */
async function shortInboxes(database: Database): Promise<readonly string[]> {
  const s = quoteIdentifier(database.schema);
  const { rows } = await database
    .query<{ consumer: string }>(
      `WITH RECURSIVE ${consumersSql(database.schema)}
       SELECT c.consumer FROM consumers c
       WHERE c.consumer IS NOT NULL AND NOT EXISTS (
         SELECT 1 FROM ${s}.inbox i WHERE i.consumer = c.consumer
           AND i.handled_at < (SELECT created_at FROM ${s}.outbox ORDER BY seq LIMIT 1) + interval '1 day')
         AND (SELECT created_at FROM ${s}.outbox ORDER BY seq LIMIT 1) < now() - interval '1 day'`,
    )
    .catch((error: unknown) => {
      throw translateSqlError(error);
    });
  return rows.map(({ consumer }) => consumer);
}

function name({ name: own, shard, shards }: SubscriptionStatus): string {
  return `subscription ${own}${shards > 1 ? ` (shard ${shard} of ${shards})` : ''}`;
}

function days(ms: number): string {
  return ms >= DAY_MS ? `${(ms / DAY_MS).toFixed(1)} days` : `${(ms / 3_600_000).toFixed(1)} hours`;
}
