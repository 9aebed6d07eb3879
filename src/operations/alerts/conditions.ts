/**
 * What is wrong, as status says it: the figures that `holdfast status` and /metrics show, judged. Pure.
 */
import type { ConsumerParked, SubscriptionStatus } from '../relay/relay-status.ts';
import type { SagaHealth } from '../sagas/saga-status.ts';
import type { AlertKind, Condition } from './alert.ts';

/** Ages from which on something counts, in milliseconds. Infinity: never. */
export interface AlertThresholds {
  readonly lateMs: (subscription: string) => number;
  readonly overdueMs: number;
}

/** Takeovers without progress that are no chance any more. */
const STALLS = 2;
/** Subjects of one kind. Names may be made from data, and neither the table nor whoever is told may drown in them. */
const MOST_SUBJECTS = 50;

export function relayConditions(
  subscriptions: readonly SubscriptionStatus[],
  { lateMs }: AlertThresholds,
): readonly Condition[] {
  const names = [...new Set(subscriptions.map(({ name }) => name))];
  const found = names.flatMap((name) => {
    const shards = subscriptions.filter((each) => each.name === name);
    return [
      late(name, shards, lateMs(name)),
      unserved(name, shards),
      dying(name, shards),
      breakerOpen(name, shards),
      deadLetters(name, shards),
    ];
  });
  return bounded(found.filter((each) => each !== null));
}

function late(subject: string, shards: readonly SubscriptionStatus[], overMs: number): Condition | null {
  const behind = shards.filter((each) => (each.oldestUnpublishedAgeMs ?? 0) > overMs);
  if (behind.length === 0) return null;
  const oldestMs = Math.max(...behind.map((each) => each.oldestUnpublishedAgeMs ?? 0));
  return {
    kind: 'late',
    subject,
    count: Math.max(...behind.map((each) => each.behind)),
    summary: `Messages of subscription ${subject} are late: the oldest has waited for ${seconds(oldestMs)}, and may for ${seconds(overMs)}.`,
    advice: 'holdfast status says whether no relay runs, the broker is away, or the relay is slower than the writers.',
  };
}

function unserved(subject: string, shards: readonly SubscriptionStatus[]): Condition | null {
  const count = shards.filter(({ live }) => !live).length;
  if (count === 0) return null;
  return {
    kind: 'unserved',
    subject,
    count,
    summary: `No relay holds ${count === shards.length ? `subscription ${subject}` : `${count} of ${shards.length} shards of subscription ${subject}`}.`,
    advice: 'Start a relay with it; if it is gone for good, holdfast subscription drop.',
  };
}

function dying(subject: string, shards: readonly SubscriptionStatus[]): Condition | null {
  const stalls = Math.max(...shards.map((each) => each.stalls));
  if (stalls < STALLS) return null;
  return {
    kind: 'relay-dies',
    subject,
    count: stalls,
    summary: `Relays of subscription ${subject} died ${stalls} times in a row without progress.`,
    advice: 'Look at why they died (memory?); the message that kills them will be parked: holdfast parked ls.',
  };
}

function breakerOpen(subject: string, shards: readonly SubscriptionStatus[]): Condition | null {
  const count = shards.filter(({ live, trouble }) => live && trouble !== null).length;
  if (count === 0) return null;
  return {
    kind: 'breaker-open',
    subject,
    count,
    summary: `The broker of subscription ${subject} does not take messages.`,
    advice: 'holdfast status has its answer. Nothing is parked or lost meanwhile.',
  };
}

function deadLetters(subject: string, shards: readonly SubscriptionStatus[]): Condition | null {
  const count = shards.reduce((sum, { parked }) => sum + parked.dead, 0);
  if (count === 0) return null;
  return {
    kind: 'relay-dead-letter',
    subject,
    count,
    summary: `Subscription ${subject} has ${count} parked ${count === 1 ? 'message' : 'messages'} that no retry takes up.`,
    advice: `holdfast parked ls --subscription ${subject}, then retry or discard.`,
  };
}

export function consumerConditions(consumers: readonly ConsumerParked[]): readonly Condition[] {
  return bounded(
    consumers
      .filter(({ dead }) => dead > 0)
      .map(({ consumer, dead }): Condition => ({
        kind: 'consumer-dead-letter',
        subject: consumer,
        count: dead,
        summary: `Consumer ${consumer} has ${dead} parked ${dead === 1 ? 'message' : 'messages'} that no retry takes up.`,
        advice: `holdfast parked ls --consumer ${consumer}, then retry or discard.`,
      })),
  );
}

export function sagaConditions(
  { stuck, unrunnable, due, workers }: Pick<SagaHealth, 'stuck' | 'unrunnable' | 'due' | 'workers'>,
  { overdueMs }: AlertThresholds,
): readonly Condition[] {
  const nobodyHas = new Set(unrunnable.map(({ saga, version }) => `${saga}@${version}`));
  const found: Condition[] = [
    ...stuck
      .filter(({ runs }) => runs > 0)
      .map(({ saga, runs }): Condition => ({
        kind: 'stuck',
        subject: saga,
        count: runs,
        summary: `${runs} ${runs === 1 ? 'run' : 'runs'} of saga ${saga} ${runs === 1 ? 'needs' : 'need'} a person.`,
        advice: `holdfast saga ls --stuck --saga ${saga}; holdfast saga show ID says what to do.`,
      })),
    ...unrunnable.map(({ saga, version, runs, atLeast }): Condition => ({
      kind: 'unrunnable',
      subject: `${saga}@${version}`,
      count: runs,
      summary: `No live worker can run saga ${saga} in version ${version}; ${atLeast ? 'more than ' : ''}${runs} ${runs === 1 ? 'run waits' : 'runs wait'}.`,
      advice: 'Start a worker that has it; keep old versions until their runs have ended.',
    })),
    ...due
      .filter(({ saga, version, oldestMs }) => oldestMs > overdueMs && !nobodyHas.has(`${saga}@${version}`))
      .map(({ saga, version, runs, oldestMs }): Condition => ({
        kind: 'overdue',
        subject: `${saga}@${version}`,
        count: runs,
        summary: `Workers of saga ${saga} in version ${version} are behind: the oldest run has been due for ${seconds(oldestMs)}.`,
        advice: 'Start more workers, or raise their concurrency.',
      })),
    ...workers
      .filter(({ live }) => !live)
      .map(({ name, runs }): Condition => ({
        kind: 'worker-dead',
        subject: name,
        count: Math.max(1, runs),
        summary: `The lease of worker ${name} has run out, and no worker takes over its ${runs} ${runs === 1 ? 'run' : 'runs'}.`,
        advice: 'Start a worker: it takes them over at once.',
      })),
  ];
  return bounded(distinct(found));
}

/** Two workers may bear one name; they are one subject then. */
function distinct(conditions: readonly Condition[]): readonly Condition[] {
  const found = new Map<string, Condition>();
  for (const each of conditions) {
    const key = `${each.kind}\n${each.subject}`;
    const before = found.get(key);
    found.set(key, before === undefined ? each : { ...each, count: before.count + each.count });
  }
  return [...found.values()];
}

/** Those of one kind beyond the bound are one alert. */
function bounded(conditions: readonly Condition[]): readonly Condition[] {
  const seen = new Map<AlertKind, Condition[]>();
  for (const each of conditions) seen.set(each.kind, [...(seen.get(each.kind) ?? []), each]);
  return [...seen.values()].flatMap((all) => {
    if (all.length <= MOST_SUBJECTS) return all;
    // By name and not by size: an alert must not change its subject because another one grew.
    const sorted = all.toSorted((a, b) => (a.subject < b.subject ? -1 : 1));
    const rest = sorted.slice(MOST_SUBJECTS - 1);
    const [first] = rest;
    if (first === undefined) return sorted;
    return [
      ...sorted.slice(0, MOST_SUBJECTS - 1),
      {
        ...first,
        subject: '(others)',
        count: rest.reduce((sum, { count }) => sum + count, 0),
        summary: `${rest.length} more subjects have an alert of kind ${first.kind}.`,
        advice: 'holdfast status names them.',
      },
    ];
  });
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1_000)} s`;
}
