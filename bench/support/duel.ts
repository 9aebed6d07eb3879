/**
 * Sagas against the loop that people write by hand, with so many runs in flight: the lines of the benchmarks that ask nothing else.
 */
import type { ContestantName } from '../contestants/contestant.ts';
import { contest, details, type ContestOptions, type Entry, type Standing } from './contest.ts';
import { figure, type BenchContext, type Comparison, type Figure } from './figure.ts';

export interface Duel {
  readonly bench: string;
  readonly ours: ContestantName;
  readonly byHand: ContestantName;
  readonly inflight: number;
  /** Of one run in flight the time is what counts (p50); of many, how many come through. */
  readonly of: 'p50' | 'runs';
  readonly target: Comparison['target'];
  /** Said of the line, to tell it from others of its name. */
  readonly more?: Readonly<Record<string, unknown>>;
}

/** A line for each of the duels that are wanted. `steps`: of one run. */
export async function fight(
  context: BenchContext,
  duels: readonly Duel[],
  { steps, ...options }: ContestOptions & { readonly steps: number },
): Promise<readonly Figure[]> {
  const entries = new Map<string, Entry>();
  for (const { ours, byHand, inflight } of duels)
    for (const contestant of [ours, byHand]) entries.set(`${contestant}.${inflight}`, { contestant, inflight });
  const standings = await contest(context, [...entries.values()], options);
  const of = (contestant: ContestantName, inflight: number): Standing => {
    const found = standings.find((each) => each.contestant === contestant && each.inflight === inflight);
    if (found === undefined) throw new Error(`${contestant} with ${inflight} in flight was not measured`);
    return found;
  };
  return duels.map((duel) =>
    line(duel, { ours: of(duel.ours, duel.inflight), byHand: of(duel.byHand, duel.inflight) }, steps),
  );
}

function line(
  { bench, of, target, more }: Duel,
  { ours, byHand }: { readonly ours: Standing; readonly byHand: Standing },
  steps: number,
): Figure {
  const values =
    of === 'p50'
      ? ({ value: ours.p50, unit: 'ms', againstValue: byHand.p50 } as const)
      : ({ value: ours.perSecond, unit: 'runs/s', againstValue: byHand.perSecond } as const);
  const said = of === 'p50' ? { of, ...details(ours, steps) } : details(ours, steps);
  return figure({ bench, against: 'by-hand', target, ...values }, { ...said, ...more });
}
