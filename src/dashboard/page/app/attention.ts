/**
 * What of the overview needs a person, worst first, and where each thing leads. Pure.
 */
import { countText, several, spanText } from './texts.ts';
import type { WireOverview } from './wire.ts';

export type Tone = 'ok' | 'busy' | 'wait' | 'warn' | 'bad' | 'off';

export interface AttentionItem {
  readonly tone: 'bad' | 'warn';
  readonly what: string;
  readonly why: string;
  /** Path and query of the view that shows it. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
}

/** A message that waits longer than this is late. */
export const OBJECTIVE_MS = 30_000;

export function attentionOf(
  { relay, sagas }: WireOverview,
  objectiveMs: number = OBJECTIVE_MS,
): readonly AttentionItem[] {
  const items = [...ofRelay(relay, objectiveMs), ...(sagas === null ? [] : ofSagas(sagas))];
  return [...items.filter(({ tone }) => tone === 'bad'), ...items.filter(({ tone }) => tone === 'warn')];
}

function ofRelay(relay: WireOverview['relay'], objectiveMs: number): readonly AttentionItem[] {
  const items: AttentionItem[] = [];
  const subscriptions = { path: 'subscriptions', query: {} };
  for (const { name, shard, shards, live, trouble, oldestUnpublishedAgeMs, parked, probing } of relay.subscriptions) {
    const which = shards > 1 ? `${name}, shard ${shard}` : name;
    const oldest = oldestUnpublishedAgeMs ?? 0;
    if (!live) {
      const why = oldest > 0 ? `messages wait since ${spanText(oldest)}` : 'nothing waits';
      items.push({ tone: oldest > 0 ? 'bad' : 'warn', what: `No relay reads for ${which}`, why, ...subscriptions });
    } else if (oldest > objectiveMs) {
      items.push({
        tone: 'bad',
        what: `${which} is behind`,
        why: `the oldest message waits since ${spanText(oldest)}`,
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
      why: `the oldest since ${spanText(oldestMs)}`,
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

/** Of all subscriptions: how late, how far behind, how fast. */
export interface FlowFigures {
  readonly oldestMs: number | null;
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

export function flowOf({ relay, sagas, history }: WireOverview): FlowFigures {
  const shards = relay.subscriptions;
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const ages = shards.flatMap(({ oldestUnpublishedAgeMs }) => oldestUnpublishedAgeMs ?? []);
  const counts = [...shards.map(({ parked }) => parked), ...relay.consumers];
  const behind = Math.max(0, ...shards.map((each) => each.behind));
  const published = sum(shards.map(({ ratePerSecond }) => ratePerSecond));
  const written = history.at(-1)?.written ?? null;
  const surplus = published - (written ?? 0);
  return {
    oldestMs: ages.length === 0 ? null : Math.max(...ages),
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
