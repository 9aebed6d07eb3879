/**
 * Who starts runs, and speaks to them: services with plans, and the operator who has stuck runs tried again once their code is mended.
 */
import { isHoldfastError } from '../../../src/errors.ts';
import { createSagasOn } from '../../../src/saga/client/client.ts';
import type { ClientStore } from '../../../src/saga/store/store.ts';
import type { MemoryTx } from '../../../src/testing/saga/memory-transactions.ts';
import type { Choices, Odds } from '../machine/choices.ts';
import type { Life } from '../machine/process.ts';
import type { Plan } from './messages.ts';
import type { LentSagas } from './lent-sagas.ts';
import type { Sagas } from './sagas.ts';
import { callName, callsOf, drawPlan, type DrawnPlan } from './shape.ts';

export interface PlannedRun {
  readonly id: string;
  readonly saga: keyof Sagas;
  readonly plan: Plan;
  /** What a drawn saga is started with; null: it is another one. */
  readonly drawn: DrawnPlan | null;
  readonly startAtMs: number;
  /** From its start; null: it has none. */
  readonly deadlineMs: number | null;
  /** When it is cancelled; null: it is not. */
  readonly cancelAtMs: number | null;
  /** At what is seen of a call it is cancelled; null: at nothing. */
  readonly cancelOn: Moment | null;
  /** When signals are sent, of an approval. */
  readonly signalsAtMs: readonly number[];
}

export const MOMENTS = ['begins', 'happens', 'ends'] as const;

export interface Moment {
  readonly call: string;
  readonly of: (typeof MOMENTS)[number];
  readonly delayMs: number;
}

/** What came of a planned run, as its client was told. */
export interface ToldRun {
  started: boolean;
  /** How a cancellation was answered; null: there was none, or it was refused. */
  cancelled: 'compensating' | 'undecided' | null;
  /** It was cancelled because it was stuck. */
  wasCancelledWhenStuck: boolean;
  /** What it is to be cancelled on was seen. */
  momentHasCome: boolean;
  /** Which signals were accepted. */
  readonly signalled: Set<number>;
}

const WEATHERS: readonly Plan['first'][] = ['fair', 'failing twice', 'rejected'];
const SKIES: Odds = [0.15, 0.1];
const KINDS = ['drawn', 'transfer', 'order', 'trip', 'approval'] as const;
const DEADLINES_MS = [null, 300, 1_500, 4_000];
const DELAYS_MS = [0, 1, 2, 10, 1_000];

/** The runs of a simulation, by chance. */
export function plannedRuns(choices: Choices): readonly PlannedRun[] {
  const count = 1 + choices.choose('number of runs', [0.35, 0.2, 0.1]);
  return Array.from({ length: count }, (_, index) => {
    const about = `run ${index + 1}`;
    const weather = (which: string) => WEATHERS[choices.choose(`${about} ${which}`, SKIES)] ?? 'fair';
    const saga = KINDS[choices.choose(`${about} saga`, [0.12, 0.18, 0.1, 0.1])] ?? 'drawn';
    const startAtMs = 50 + 700 * choices.choose(`${about} starts`, [0.2, 0.1]);
    const cancels = choices.choose(`${about} is cancelled`, [0.05, 0.05, 0.05, 0.03]);
    const named = { order: `o-${index + 1}`, amount: 10 ** index };
    const drawn = saga === 'drawn' ? drawPlan(choices, about, named) : null;
    return {
      id: `00000000-0000-7000-8000-${String(index + 1).padStart(12, '0')}`,
      saga,
      plan: {
        ...named,
        first: weather('first'),
        second: weather('second'),
        third: weather('third'),
        bug: choices.choose(`${about} has a bug`, [0.06]) === 1 && (saga === 'transfer' || saga === 'order'),
      },
      drawn,
      startAtMs,
      deadlineMs: DEADLINES_MS[choices.choose(`${about} has a deadline`, [0.03, 0.03, 0.02])] ?? null,
      cancelOn: drawn === null ? null : momentOf(choices, about, drawn),
      cancelAtMs: cancels === 0 ? null : startAtMs + ([0, 5, 30, 300, 3_000][cancels] ?? 0),
      signalsAtMs:
        saga === 'approval'
          ? [100, 2_990, 3_000, 6_100].flatMap((at, n) =>
              choices.choose(`${about} signal ${n + 1}`, [0.4]) === 1 ? [startAtMs + at] : [],
            )
          : [],
    };
  });
}

/** A call of it, and something that is seen of that. */
function momentOf(choices: Choices, about: string, { stages }: DrawnPlan): Moment | null {
  const of = MOMENTS[choices.choose(`${about} is cancelled when a call`, [0.06, 0.06, 0.06]) - 1];
  const calls = callsOf(stages);
  const call =
    calls[
      choices.choose(
        `${about} is cancelled at call`,
        calls.slice(1).map(() => 1 / calls.length),
      )
    ];
  const delayMs = DELAYS_MS[choices.choose(`${about} is cancelled after`, [0.2, 0.2, 0.2, 0.2])] ?? 0;
  return of === undefined || call === undefined ? null : { of, call: callName(call), delayMs };
}

export interface ClientOptions {
  readonly life: Life;
  readonly store: ClientStore<MemoryTx>;
  readonly lent: LentSagas;
}

/** Carries out one plan. Each act is tried until somebody answers. */
export async function carryOut({ life, store, lent }: ClientOptions, run: PlannedRun, told: ToldRun): Promise<void> {
  const { registry, sagas } = lent;
  const { sagas: client } = createSagasOn<MemoryTx>(store, { registry, clock: life.clock, where: 'simulation' });
  const saga = sagas[run.saga];
  const handle = client.handle(saga, run.id);
  const deadline = run.deadlineMs === null ? {} : { deadline: `${run.deadlineMs}ms` as const };
  const options = { id: run.id, ...deadline };
  const started = (async () => {
    await life.sleep(run.startAtMs);
    await untilAnswered(life, () => client.start(saga, (run.drawn ?? run.plan) as never, options));
    told.started = true;
  })();
  const cancelled = (async () => {
    if (run.cancelAtMs === null) return;
    await started;
    await life.sleep(run.cancelAtMs - run.startAtMs);
    const answer = await untilAnswered(life, () => handle.cancel({ actor: 'client' })).catch(() => null);
    if (told.cancelled !== 'compensating') told.cancelled = answer;
  })();
  const signalled = run.signalsAtMs.map(async (atMs, index) => {
    await started;
    await life.sleep(atMs - run.startAtMs);
    const signal = { n: index + 1 };
    // Refused of a run that has ended.
    await untilAnswered(life, () => handle.signal('go', signal, { id: `${index + 1}` })).then(
      () => void told.signalled.add(index + 1),
      () => undefined,
    );
  });
  await Promise.all([started, cancelled, ...signalled]);
}

/** At the very moment, by somebody whose requests are answered at once. */
export function cancelNow(
  { life, store, lent }: ClientOptions,
  saga: keyof Sagas,
  id: string,
): Promise<ToldRun['cancelled']> {
  const { registry, sagas } = lent;
  const { sagas: client } = createSagasOn<MemoryTx>(store, { registry, clock: life.clock, where: 'simulation' });
  return client
    .handle(sagas[saga], id)
    .cancel({ actor: 'client' })
    .catch(() => null);
}

async function untilAnswered<T>(life: Life, act: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (!isHoldfastError(error, 'HF_DATABASE_UNAVAILABLE')) throw error;
      await life.sleep(100);
    }
  }
}
