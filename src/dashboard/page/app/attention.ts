/**
 * What of the overview needs a person, worst first, and where each thing leads. Pure.
 */
import { countText, several, spanText } from './texts.ts';
import type { WireAlert, WireAlerts, WireOverview } from './wire.ts';

export type Tone = 'ok' | 'busy' | 'wait' | 'warn' | 'bad' | 'off';

export interface AttentionItem {
  readonly tone: 'bad' | 'warn';
  readonly what: string;
  readonly why: string;
  /** Path and query of the view that shows it. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
}

type Objectives = WireOverview['objectives'];

/** How old the oldest message of a subscription may be; Infinity where nobody said so. */
export function objectiveOf(objectives: Objectives, name: string): number {
  return objectives.find(({ subscription }) => subscription === name)?.objectiveMs ?? Infinity;
}

export function attentionOf({ relay, sagas, alerts, objectives }: WireOverview): readonly AttentionItem[] {
  const items = [
    ...ofRelay(relay, objectives),
    ...(sagas === null ? [] : ofSagas(sagas)),
    ...(alerts?.items ?? []).filter(({ kind }) => ONLY_ALERTS.has(kind)).map(ofAlert),
  ];
  return [...items.filter(({ tone }) => tone === 'bad'), ...items.filter(({ tone }) => tone === 'warn')];
}

/** What alerts see and the figures of the overview do not say. */
const ONLY_ALERTS: ReadonlySet<string> = new Set<WireAlert['kind']>(['relay-dies', 'overdue', 'worker-dead']);

function ofAlert(alert: WireAlert): AttentionItem {
  return { tone: 'bad', what: alert.summary, why: alert.advice, ...placeOfAlert(alert) };
}

/** The view that shows what an alert is about. */
export function placeOfAlert({
  kind,
  subject,
}: Pick<WireAlert, 'kind' | 'subject'>): Pick<AttentionItem, 'path' | 'query'> {
  switch (kind) {
    case 'relay-dead-letter':
      return { path: 'parked', query: { kind: 'relay', where: subject, state: 'dead' } };
    case 'consumer-dead-letter':
      return { path: 'parked', query: { kind: 'consumer', where: subject, state: 'dead' } };
    case 'stuck':
      return { path: 'runs', query: { saga: subject, status: 'stuck' } };
    case 'unrunnable':
    case 'overdue':
    case 'worker-dead':
    case 'lease-lost':
    case 'step-breaker-open':
      return { path: 'workers', query: {} };
    case 'database-silent':
      return { path: 'doctor', query: {} };
    default:
      return { path: 'subscriptions', query: {} };
  }
}

/** One sentence about what was told, for whoever looks at what needs a person. */
export function alertsLine({ items, watched, tells }: WireAlerts): string {
  const told = items.flatMap(({ toldAgoMs }) => toldAgoMs ?? []);
  if (told.length > 0) {
    const whom = tells === null ? '' : ` (${tells.join(', ')})`;
    return `${several(told.length, 'alert')} told, the last ${spanText(Math.min(...told))} ago${whom}`;
  }
  if (watched.every(({ lookedAgoMs }) => lookedAgoMs === null)) return 'Nobody watches for alerts';
  return items.length === 0 ? 'No alert' : `${several(items.length, 'alert')}, not told yet`;
}

function ofRelay(relay: WireOverview['relay'], objectives: Objectives): readonly AttentionItem[] {
  const items: AttentionItem[] = [];
  const subscriptions = { path: 'subscriptions', query: {} };
  for (const { name, shard, shards, live, trouble, oldestUnpublishedAgeMs, parked, probing } of relay.subscriptions) {
    const which = shards > 1 ? `${name}, shard ${shard}` : name;
    const oldest = oldestUnpublishedAgeMs ?? 0;
    if (!live) {
      const why = oldest > 0 ? `messages have waited for ${spanText(oldest)}` : 'nothing waits';
      items.push({ tone: oldest > 0 ? 'bad' : 'warn', what: `No relay reads for ${which}`, why, ...subscriptions });
    } else if (oldest > objectiveOf(objectives, name)) {
      items.push({
        tone: 'bad',
        what: `${which} is behind`,
        why: `the oldest message has waited for ${spanText(oldest)}`,
        ...subscriptions,
      });
    }
    if (trouble !== null)
      items.push({ tone: 'bad', what: `The broker of ${which} fails`, why: trouble, ...subscriptions });
    if (probing) {
      items.push({
        tone: 'warn',
        what: `${which} looks for a message that kills relays`,
        why: 'batches are small until it is found',
        ...subscriptions,
      });
    }
    if (parked.dead > 0) items.push(deadItem('relay', name, parked));
    else if (parked.failed > 0) items.push(failedItem('relay', name, parked));
  }
  for (const { consumer, oldestAgeMs: _oldest, ...parked } of relay.consumers) {
    if (parked.dead > 0) items.push(deadItem('consumer', consumer, parked));
    else if (parked.failed > 0) items.push(failedItem('consumer', consumer, parked));
  }
  return items;
}

type Counts = WireOverview['relay']['subscriptions'][number]['parked'];

function deadItem(kind: string, where: string, { dead, behind }: Counts): AttentionItem {
  const why =
    behind === 0
      ? 'nothing waits behind'
      : behind === 1
        ? 'a message waits behind'
        : `${countText(behind)} wait behind`;
  return {
    tone: 'bad',
    what: `${several(dead, 'dead letter')} at ${where}`,
    why,
    path: 'parked',
    query: { kind, where, state: 'dead' },
  };
}

function failedItem(kind: string, where: string, { failed }: Counts): AttentionItem {
  return {
    tone: 'warn',
    what: `${several(failed, 'parked message')} at ${where}`,
    why: 'tried again by itself',
    path: 'parked',
    query: { kind, where, state: 'failed' },
  };
}

function ofSagas(sagas: NonNullable<WireOverview['sagas']>): readonly AttentionItem[] {
  return [
    ...sagas.stuck.map(({ saga, runs, oldestMs }): AttentionItem => ({
      tone: 'bad',
      what: `${several(runs, 'stuck run')} of ${saga}`,
      why: `the oldest for ${spanText(oldestMs)}`,
      path: 'runs',
      query: { saga, status: 'stuck' },
    })),
    ...sagas.unrunnable.map(({ saga, version, runs, atLeast }): AttentionItem => ({
      tone: 'bad',
      what: `No live worker has ${saga}@${version}`,
      why: `${several(runs, 'run')}${atLeast ? ' and more' : ''} wait for one`,
      path: 'workers',
      query: {},
    })),
    ...sagas.childless.map(({ saga, child, runs }): AttentionItem => ({
      tone: 'bad',
      what: `No live worker has ${child}`,
      why: `${several(runs, 'child run')} of ${saga} wait for one`,
      path: 'workers',
      query: {},
    })),
    ...sagas.grown.map(({ saga, version, runs, percent, run }): AttentionItem => ({
      tone: percent >= 100 ? 'bad' : 'warn',
      what: `${several(runs, 'journal')} of ${saga}@${version} ${runs === 1 ? 'fills' : 'fill'} up`,
      why: `the fullest is at ${percent} %`,
      path: `runs/${run}`,
      query: {},
    })),
  ];
}

/**
 * Runs by state, of which those that are stuck are as fresh as the rest of the overview: the others are counted more rarely, and what needs
 * a person must not be told in two numbers.
 */
export function countsNow({ counts: { counts, atLeast }, stuck }: NonNullable<WireOverview['sagas']>): RunCounts {
  const others = counts.filter(({ status }) => status !== 'stuck');
  const now = stuck.flatMap(({ saga, runs }) => (runs === 0 ? [] : [{ saga, status: 'stuck' as const, runs }]));
  return { counts: [...now, ...others], atLeast };
}

type RunCounts = NonNullable<WireOverview['sagas']>['counts'];

/** Of all subscriptions: how late, how far behind, how fast. */
export interface FlowFigures {
  readonly oldestMs: number | null;
  /** What it may be: of the subscription that is nearest to its objective, or beyond it; null when there is none. */
  readonly objectiveMs: number | null;
  readonly behind: number;
  readonly published: number;
  /** Messages a second that services write; null: not known yet. */
  readonly written: number | null;
  /** Until all is published at this pace; null: never, or there is nothing to drain. */
  readonly drainMs: number | null;
  readonly readers: number;
  readonly shards: number;
  readonly parked: number;
  readonly dead: number;
  readonly underWay: number | null;
  readonly stuck: number | null;
}

const UNDER_WAY: ReadonlySet<string> = new Set(['pending', 'running', 'waiting', 'compensating']);

export function flowOf({ relay, sagas, history, objectives }: WireOverview): FlowFigures {
  const shards = relay.subscriptions;
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const latest = latestOf(shards, objectives);
  const counts = [...shards.map(({ parked }) => parked), ...relay.consumers];
  const behind = Math.max(0, ...shards.map((each) => each.behind));
  const published = sum(shards.map(({ ratePerSecond }) => ratePerSecond));
  const written = history.at(-1)?.written ?? null;
  const surplus = published - (written ?? 0);
  return {
    ...latest,
    behind,
    published,
    written,
    drainMs: behind > 0 && surplus > 0 ? (behind / surplus) * 1_000 : null,
    readers: shards.filter(({ live }) => live).length,
    shards: shards.length,
    parked: sum(counts.map(({ failed, behind: waiting, dead }) => failed + waiting + dead)),
    dead: sum(counts.map(({ dead }) => dead)),
    underWay:
      sagas === null
        ? null
        : sum(sagas.counts.counts.filter(({ status }) => UNDER_WAY.has(status)).map(({ runs }) => runs)),
    stuck: sagas === null ? null : sum(sagas.stuck.map(({ runs }) => runs)),
  };
}

function latestOf(
  shards: WireOverview['relay']['subscriptions'],
  objectives: Objectives,
): Pick<FlowFigures, 'oldestMs' | 'objectiveMs'> {
  const shares = shards.map(({ name, oldestUnpublishedAgeMs: oldestMs }) => {
    const objectiveMs = objectiveOf(objectives, name);
    return { oldestMs, objectiveMs, share: (oldestMs ?? 0) / objectiveMs };
  });
  // Where nothing waits, the strictest objective is the one to tell.
  const [worst] = shares.toSorted((a, b) => b.share - a.share || a.objectiveMs - b.objectiveMs);
  if (worst === undefined) return { oldestMs: null, objectiveMs: null };
  return { oldestMs: worst.oldestMs, objectiveMs: Number.isFinite(worst.objectiveMs) ? worst.objectiveMs : null };
}
