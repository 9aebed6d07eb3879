/**
 * The doctor's look at where routes and consumers meet: queues that no route leads to, routes that nobody reads, and marks that are kept
 * for a shorter time than the messages they are for. All that it knows are the subscriptions and the consumers of this database.
 */
import type { Check, CheckFinding } from './finding.ts';
import {
  knownConsumers,
  knownSubscriptions,
  type KnownConsumer,
  type KnownSubscription,
} from './known-destinations.ts';

export const checkRoutes: Check = async (database) => {
  const [subscriptions, consumers] = await Promise.all([knownSubscriptions(database), knownConsumers(database)]);
  return judgeRoutes(subscriptions, consumers);
};

/** Pure. */
export function judgeRoutes(
  subscriptions: readonly KnownSubscription[],
  consumers: readonly KnownConsumer[],
): readonly CheckFinding[] {
  // Where no relay publishes, or nobody keeps an inbox, all of the other side is elsewhere.
  if (subscriptions.length === 0 || consumers.length === 0) return [];
  const horizonMs = Math.max(...subscriptions.map(({ retentionMs }) => retentionMs ?? 0));
  const routed = subscriptions.every(({ destinations }) => destinations !== null);
  const destinations = new Set(subscriptions.flatMap((each) => each.destinations ?? []));
  const read = new Set(consumers.flatMap(({ queues }) => queues));
  const findings: CheckFinding[] = [];
  for (const { consumer, queues, retentionMs } of consumers) {
    if (retentionMs <= horizonMs)
      findings.push({
        level: 'warn',
        check: 'flow.inbox-horizon',
        what: `Consumer ${consumer} keeps its marks for ${days(retentionMs)}, and the log keeps messages for ${days(horizonMs)}.`,
        advice:
          'Raise the retention of the consumer over that of each subscription, or lower theirs; at its next start it refuses (HF_INBOX_RETENTION).',
      });
    if (routed && !queues.some((queue) => destinations.has(queue)))
      findings.push({
        level: 'note',
        check: 'flow.unfed-queue',
        what: `No route of this database leads to ${queues.join(' or ')}, which consumer ${consumer} receives from.`,
        advice: 'Fine when a relay of another database feeds it; else add a route, or correct the name on one side.',
        repair: `holdfast relay --route TOPICS=${queues.at(-1) ?? 'QUEUE'}`,
      });
  }
  for (const { name, destinations: own } of subscriptions) {
    for (const destination of own ?? []) {
      if (read.has(destination)) continue;
      findings.push({
        level: 'note',
        check: 'flow.unread-route',
        what: `No consumer of this database receives from ${destination}, to which the subscription ${name} publishes.`,
        advice:
          'Fine when its consumer keeps its inbox in another database; else start it, correct the name on one side, or drop the route.',
      });
    }
  }
  return findings;
}

function days(ms: number): string {
  return ms >= 86_400_000 ? `${+(ms / 86_400_000).toFixed(2)} d` : `${+(ms / 3_600_000).toFixed(2)} h`;
}
