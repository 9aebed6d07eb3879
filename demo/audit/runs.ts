/**
 * What became of the runs: that each came to one of its two ends, that its effects fit this end, and that it was compensated
 * backwards. Pure.
 */
import type { Books, Effect, Run } from './books.ts';

/** What compensates what; shipments cannot be compensated. */
const UNDOES: Readonly<Record<string, string>> = { charge: 'refund', reserve: 'release' };
/** What a completed run has done, once each. */
const DONE = ['charge', 'reserve', 'ship'];

/** Effects beyond the first of each kind for one call, and news heard twice. */
export function doubleEffects({ effects, heard }: Books): number {
  const calls = new Set(effects.map(({ service, runId, call, effect }) => [service, runId, call, effect].join(' ')));
  return effects.length - calls.size + heard.length - new Set(heard.map(({ messageId }) => messageId)).size;
}

/** Compensated runs that left something behind, and completed ones that lack something or took something back. */
export function missingCompensations({ runs, effects }: Books): number {
  const byRun = new Map<string, Effect[]>();
  for (const effect of effects) byRun.set(effect.runId, [...(byRun.get(effect.runId) ?? []), effect]);
  return runs.filter(({ id, status }) => {
    const done = byRun.get(id) ?? [];
    if (status === 'completed') return !isWhole(done);
    return status === 'compensated' && !isCompensated(done);
  }).length;
}

function isWhole(effects: readonly Effect[]): boolean {
  const kinds = new Set(effects.map(({ effect }) => effect));
  return kinds.size === DONE.length && DONE.every((effect) => kinds.has(effect));
}

function isCompensated(effects: readonly Effect[]): boolean {
  const has = new Set(effects.map(({ call, effect }) => `${call} ${effect}`));
  const undoings = new Set(Object.values(UNDOES));
  return effects.every(({ call, effect }) => {
    if (undoings.has(effect)) return true;
    const compensating = UNDOES[effect];
    return compensating !== undefined && has.has(`${call} ${compensating}`);
  });
}

/**
 * Runs that were not compensated in the reverse order of their beginnings. A late answer can make a second round of a compensation
 * necessary; that one comes when the answer does.
 */
export function wrongOrderCompensations({ runs }: Books): number {
  return runs.filter(({ events }) => {
    const begun: string[] = [];
    let last = Infinity;
    for (const event of events) {
      if (event.t === 'called') begun.push(event.call);
      if (event.t !== 'compensating' || event.round > 1) continue;
      const place = begun.indexOf(event.call);
      if (place < 0 || place >= last) return true;
      last = place;
    }
    return false;
  }).length;
}

const END_OF: Readonly<Record<string, string>> = { completed: 'confirmed', compensated: 'rejected' };

/** Orders whose row says something else than their run, or whose run is not there. */
export function wrongEnds({ orders, runs }: Books): number {
  const status = new Map(runs.map((run) => [run.id, run.status]));
  return orders.filter((order) => END_OF[status.get(order.runId) ?? ''] !== order.status).length;
}

/** Runs, messages and effects of orders that were never committed, and effects that belong to no message. */
export function ghosts({ orders, runs, sent, effects }: Books): number {
  const known = { orders: new Set(orders.map(({ id }) => id)), runs: new Set(orders.map(({ runId }) => runId)) };
  const messages = new Set(sent.map(({ id }) => id));
  return (
    runs.filter(({ id }) => !known.runs.has(id)).length +
    sent.filter(({ orderId, answer }) => !known.orders.has(orderId ?? '') && !known.runs.has(answer?.runId ?? ''))
      .length +
    effects.filter(
      ({ messageId, orderId, runId }) =>
        !messages.has(messageId) || !known.orders.has(orderId) || !known.runs.has(runId),
    ).length
  );
}

/** A cancellation that comes in the last moment may find the run at its end. */
const LAST_MOMENT_MS = 1_000;

export interface Cancellations {
  readonly asked: number;
  /** Runs that were compensated after it, whatever for. */
  readonly compensated: number;
  /** Refused at once, or by the run when it had passed its pivot. */
  readonly refused: number;
  /** Of these, refused because the parcel was on its way while the run was not at its end. */
  readonly pastPivot: number;
  /** Taken, and then forgotten. */
  readonly lost: number;
}

export function cancellations({ orders, runs, cancellations: asked }: Books): Cancellations {
  const runOf = new Map(orders.map(({ id, runId }) => [id, runId]));
  const byId = new Map(runs.map((run) => [run.id, run]));
  const found = { asked: asked.length, compensated: 0, refused: 0, pastPivot: 0, lost: 0 };
  for (const { orderId, answer, askedAt } of asked) {
    const run = byId.get(runOf.get(orderId) ?? '');
    if (run?.status === 'compensated') found.compensated += 1;
    if (run?.status !== 'completed') continue;
    if (answer === 'HF_SAGA_PIVOTED' || run.events.some((event) => event.t === 'refused')) found.pastPivot += 1;
    else if (answer === 'taken' && (run.finishedAt ?? 0) > askedAt + LAST_MOMENT_MS) found.lost += 1;
    else found.refused += 1;
  }
  return { ...found, refused: found.refused + found.pastPivot };
}

/** The compensated run whose story has the most to tell; null when there is none. */
export function mostEventful(runs: readonly Run[]): Run | null {
  const weight = ({ events }: Run): number =>
    new Set(events.map(({ t }) => t)).size * 10 + Math.min(9, events.filter(({ t }) => t === 'attempt failed').length);
  const compensated = runs.filter(({ status }) => status === 'compensated');
  return compensated.toSorted((a, b) => weight(b) - weight(a))[0] ?? null;
}
