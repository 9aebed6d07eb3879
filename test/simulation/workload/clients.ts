/**
 * Who starts runs, and speaks to them: services with plans, and the operator who has stuck runs tried again once their code is mended.
 */
import { isHoldfastError } from '../../../src/errors.ts';
import { createSagasOn } from '../../../src/saga/client/client.ts';
import { createRegistry } from '../../../src/saga/definition/definition.ts';
import type { ClientStore } from '../../../src/saga/store/store.ts';
import type { MemoryTx } from '../../../src/testing/saga/memory-transactions.ts';
import type { Choices, Odds } from '../machine/choices.ts';
import type { Life } from '../machine/process.ts';
import type { Weather } from '../services/ledger.ts';
import type { Plan } from './messages.ts';
import type { Sagas } from './sagas.ts';

export interface PlannedRun {
  readonly id: string;
  readonly saga: keyof Sagas;
  readonly plan: Plan;
  readonly startAtMs: number;
  /** When it is cancelled; null: it is not. */
  readonly cancelAtMs: number | null;
  /** When signals are sent, of an approval. */
  readonly signalsAtMs: readonly number[];
}

/** What came of a planned run, as its client was told. */
export interface ToldRun {
  started: boolean;
  /** How a cancellation was answered; null: there was none, or it was refused. */
  cancelled: 'compensating' | 'undecided' | null;
  /** Which signals were accepted. */
  readonly signalled: Set<number>;
}

const WEATHERS: readonly Weather[] = ['fair', 'failing twice', 'rejected'];
const SKIES: Odds = [0.15, 0.1];
const KINDS = ['transfer', 'order', 'trip', 'approval'] as const;

/** The runs of a simulation, by chance. */
export function plannedRuns(choices: Choices): readonly PlannedRun[] {
  const count = 1 + choices.choose('number of runs', [0.35, 0.2, 0.1]);
  return Array.from({ length: count }, (_, index) => {
    const about = `run ${index + 1}`;
    const weather = (which: string): Weather => WEATHERS[choices.choose(`${about} ${which}`, SKIES)] ?? 'fair';
    const saga = KINDS[choices.choose(`${about} saga`, [0.35, 0.2, 0.2])] ?? 'transfer';
    const startAtMs = 50 + 700 * choices.choose(`${about} starts`, [0.2, 0.1]);
    const cancels = choices.choose(`${about} is cancelled`, [0.05, 0.05, 0.05, 0.03]);
    return {
      id: `00000000-0000-7000-8000-${String(index + 1).padStart(12, '0')}`,
      saga,
      plan: {
        order: `o-${index + 1}`,
        amount: 10 ** index,
        first: weather('first'),
        second: weather('second'),
        third: weather('third'),
        bug: choices.choose(`${about} has a bug`, [0.06]) === 1 && (saga === 'transfer' || saga === 'order'),
      },
      startAtMs,
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

export interface ClientOptions {
  readonly life: Life;
  readonly store: ClientStore<MemoryTx>;
  readonly sagas: Sagas;
}

/** Carries out one plan. Each act is tried until somebody answers. */
export async function carryOut({ life, store, sagas }: ClientOptions, run: PlannedRun, told: ToldRun): Promise<void> {
  const registry = createRegistry(Object.values(sagas), 'simulation');
  const { sagas: client } = createSagasOn<MemoryTx>(store, { registry, clock: life.clock, where: 'simulation' });
  const saga = sagas[run.saga];
  const handle = client.handle(saga, run.id);
  const started = (async () => {
    await life.sleep(run.startAtMs);
    await untilAnswered(life, () => client.start(saga, run.plan as never, { id: run.id }));
    told.started = true;
  })();
  const cancelled = (async () => {
    if (run.cancelAtMs === null) return;
    await started;
    await life.sleep(run.cancelAtMs - run.startAtMs);
    told.cancelled = await untilAnswered(life, () => handle.cancel({ actor: 'client' })).catch(() => null);
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
