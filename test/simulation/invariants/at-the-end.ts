/**
 * The promises that can only be judged when nothing moves any more: each returns what is wrong, in words.
 */
import type { AnySaga } from '../../../src/saga/definition/definition.ts';
import type { TestEffect } from '../../../src/testing/saga/effects-log.ts';
import { checkRun } from '../../../src/testing/saga/check-run.ts';
import type { MemoryMessage } from '../../../src/testing/saga/memory-rows.ts';
import type { MemoryRun } from '../../../src/testing/saga/memory-saga-store.ts';
import type { PlannedRun, ToldRun } from '../workload/clients.ts';
import type { DrawnPlan } from '../workload/shape.ts';
import { mayFail } from '../workload/blame.ts';
import { News } from '../workload/messages.ts';
import { endsOfDrawn } from './drawn-end.ts';
import { short } from './short.ts';

export interface Ended {
  readonly runs: readonly MemoryRun[];
  readonly planned: readonly (PlannedRun & { readonly told: ToldRun })[];
  readonly sagas: readonly AnySaga[];
  readonly effects: readonly TestEffect[];
  /** What is left of each call, by run and call. */
  readonly balance: ReadonlyMap<string, number>;
  /** There are participants that carry out what was taken back before: it is compensated once more. */
  readonly forgets: boolean;
  /** Run and call of what a person has left as it is, and of what nobody has promised to compensate. */
  readonly leftOut: ReadonlySet<string>;
  /** Of the latter. */
  readonly unpromised: ReadonlySet<string>;
  readonly messages: readonly MemoryMessage[];
  /** Signals that were recorded, or refused later. */
  readonly signalsOf: (runId: string) => number;
  /** Why nothing more is waited for, although something is not finished; null: all is. */
  readonly unfinished: string | null;
}

/** All that is wrong. */
export async function breachesAtTheEnd(ended: Ended): Promise<readonly string[]> {
  if (ended.unfinished !== null) return [`I13: ${ended.unfinished}`];
  return [
    ...i5StartsAreThere(ended),
    ...i6RunsHaveEnded(ended),
    ...i1NewsHaveArrived(ended),
    ...i9SumsStay(ended),
    ...endsOfDrawn(ended, plansOf(ended)),
    ...i12SignalsOnce(ended),
    ...i16InnocentComplete(ended),
    ...i19AcceptedTakesEffect(ended),
    ...i19SignalsAreTakenIn(ended),
    ...(await i7EffectsAreThoseOfTheJournal(ended)),
  ];
}

function i1NewsHaveArrived({ messages, effects }: Ended): string[] {
  const sent = messages.filter(({ topic }) => topic === News.topic).length;
  const read = effects.filter(({ call }) => call === 'mail').length;
  return sent === read ? [] : [`I1: ${sent} pieces of news were committed, and ${read} have arrived`];
}

function i5StartsAreThere({ runs, planned }: Ended): string[] {
  const there = new Set(runs.map(({ id }) => id));
  return planned
    .filter(({ id, told }) => told.started && !there.has(id))
    .map(({ id }) => `I5: the start of ${short(id)} was acknowledged, and it is not there`);
}

function i6RunsHaveEnded({ runs }: Ended): string[] {
  return runs
    .filter(({ status }) => status !== 'completed' && status !== 'compensated')
    .map(({ id, status }) => `I6: ${short(id)} is ${status}`);
}

/** I7, I8 and I10, by the journal, its replay, and what was seen outside. */
async function i7EffectsAreThoseOfTheJournal({
  runs,
  sagas,
  effects,
  messages,
  forgets,
  unpromised,
}: Ended): Promise<readonly string[]> {
  const found: string[] = [];
  for (const run of runs) {
    const saga = sagas.find(({ name, version }) => name === run.saga && version === run.version);
    if (saga === undefined || [...unpromised].some((place) => place.startsWith(run.id))) continue;
    const own = effects.filter(({ runId, call }) => runId === run.id && call !== 'mail');
    const wrong = await checkRun({ saga, run, effects: own, messages, earlier: [], allowStuck: false });
    const meant = wrong.filter((each) => !(forgets && each.endsWith('happened after it was compensated')));
    found.push(...meant.map((each) => `I7: ${short(run.id)}: ${each}`));
  }
  return found;
}

/** Of a run that was compensated nothing is left; of one that is completed all is. */
function i9SumsStay({ runs, balance, leftOut }: Ended): string[] {
  const found: string[] = [];
  for (const run of runs) {
    const own = [...balance].filter(([place]) => place.startsWith(run.id));
    for (const [place, left] of own) {
      const call = place.slice(run.id.length);
      if (run.status === 'compensated' && left !== 0 && !leftOut.has(place))
        found.push(`I9: ${left} of ${call} are left of ${short(run.id)}`);
      // What drawn runs have caught is compensated.
      if (run.status === 'completed' && left === 0 && call !== 'mail' && run.saga !== 'drawn' && run.saga !== 'part')
        found.push(`I9: nothing is left of ${call} of ${short(run.id)}, which is completed`);
    }
  }
  return found;
}

function i12SignalsOnce({ runs, planned }: Ended): string[] {
  return planned.flatMap(({ id, saga, signalsAtMs }) => {
    const result = runs.find((run) => run.id === id)?.result;
    if (saga !== 'approval' || !Array.isArray(result)) return [];
    const told = result as readonly number[];
    const isRight = new Set(told).size === told.length && told.every((n) => n >= 1 && n <= signalsAtMs.length);
    return isRight ? [] : [`I12: ${short(id)} was told the signals ${told.join(', ')}`];
  });
}

function i16InnocentComplete({ runs, planned }: Ended): string[] {
  return planned
    .filter((run) => !mayFail(run) && !run.told.wasCancelledWhenStuck)
    .flatMap(({ id }) => runs.filter((run) => run.id === id && run.status !== 'completed'))
    .map(({ id, status }) => `I16: ${short(id)}, which nobody refused anything, is ${status}`);
}

function i19AcceptedTakesEffect({ runs, planned }: Ended): string[] {
  return planned
    .filter(({ told }) => told.cancelled === 'compensating')
    .flatMap(({ id }) => runs.filter((run) => run.id === id && run.status !== 'compensated'))
    .map(({ id, status }) => `I19: the cancellation of ${short(id)} was accepted, and it is ${status}`);
}

function i19SignalsAreTakenIn({ planned, signalsOf }: Ended): string[] {
  return planned
    .filter(({ id, told }) => signalsOf(id) < told.signalled.size)
    .map(
      ({ id, told }) =>
        `I19: of ${told.signalled.size} signals that ${short(id)} accepted, only ${signalsOf(id)} are recorded`,
    );
}

function plansOf({ planned }: Ended): ReadonlyMap<string, DrawnPlan> {
  return new Map(planned.flatMap(({ id, drawn }) => (drawn === null ? [] : [[id, drawn] as const])));
}
