/**
 * What a test of sagas consists of: the store and the worker, the participants, what is planned to fail, what has happened.
 */
import { HoldfastError } from '../../errors.ts';
import { parseDuration } from '../../runtime/duration.ts';
import { createSagasOn, type Sagas } from '../../saga/client/client.ts';
import { createRegistry, type AnySaga } from '../../saga/definition/definition.ts';
import { MOVES, type RunStatus } from '../../saga/journal/events.ts';
import { createManualClock, type ManualClock } from '../manual-clock.ts';
import { createEffectsLog, type EffectsLog } from './effects-log.ts';
import { createFailPlan, type FailPlan } from './fail-plan.ts';
import { createMemorySagaStore, type MemorySagaStore } from './memory-saga-store.ts';
import type { MemoryTx } from './memory-transactions.ts';
import type { SagaTestOptions } from './saga-test-options.ts';
import { ScriptedParticipants } from './scripted-participants.ts';
import { scriptSagas, type StagedTx } from './step-scripts.ts';
import { TestDelivery } from './test-delivery.ts';
import { createTestWorker, type TestWorker } from './test-worker.ts';

export interface TestWorld {
  readonly clock: ManualClock;
  readonly store: MemorySagaStore;
  readonly sagas: Sagas<MemoryTx>;
  readonly log: EffectsLog;
  readonly plan: FailPlan;
  readonly worker: TestWorker;
  readonly delivery: TestDelivery;
  /** The sagas as they are run, with their steps noted. */
  readonly scripted: readonly AnySaga[];
  readonly settle: () => Promise<void>;
  readonly sleep: (delayMs: number) => Promise<void>;
}

const ANY_STATUS = Object.keys(MOVES) as RunStatus[];

/** @param onCrash told at the moment of each */
export function createTestWorld<Tx>(options: SagaTestOptions<Tx>, onCrash: (point: string) => void): TestWorld {
  const { participants = [], steps = {}, compensations = {} } = options;
  createRegistry(options.sagas, 'testSagas');
  const clock = createManualClock(options.startAt);
  const note = (): void => worker.note();
  const log = createEffectsLog(note);
  const plan = createFailPlan(options.sagas);
  const scripted = scriptSagas<Tx>(options.sagas, { steps, compensations }, log, plan);
  const registry = createRegistry(scripted, 'testSagas');
  const store = createMemorySagaStore({
    clock,
    ...stagedTransactions(options, log),
    onMessage(message) {
      delivery.arrive(message);
      note();
    },
  });
  const responders = new ScriptedParticipants({
    sagas: options.sagas,
    responders: participants,
    log,
    plan,
    sagaOf: (runId) => store.views.find(({ id }) => id === runId)?.saga,
    post: async (runId, body) => void (await store.postRunMessage(null, runId, body, ANY_STATUS)),
    sleep: (delayMs) => clock.sleep(delayMs).then(note),
  });
  const delivery = new TestDelivery((message) => responders.receive(message), note);
  let sleepers = 0;
  const worker = createTestWorker({
    clock,
    store,
    registry,
    leaseMs: parseDuration(options.lease ?? '15s', 'testSagas: lease'),
    random: options.random ?? (() => 0.5),
    settleWithinMs: parseDuration(options.settleWithin ?? '2s', 'testSagas: settleWithin'),
    pump: () => delivery.pump(),
    // Those that sleep by the clock of the test are no reason to wait.
    busy: () => (log.underWay.size <= sleepers ? [] : namesOf(log)),
    onCrash,
  });
  let started: Promise<void> | null = null;
  return {
    clock,
    store,
    sagas: createSagasOn<MemoryTx>(store, { registry, clock, where: 'testSagas' }).sagas,
    log,
    plan,
    worker,
    delivery,
    scripted,
    async settle() {
      started ??= worker.start();
      await started;
      await worker.settle();
      delivery.throwFault();
    },
    async sleep(delayMs) {
      sleepers += 1;
      await clock.sleep(delayMs);
      sleepers -= 1;
      note();
    },
  };
}

function namesOf(log: EffectsLog): readonly string[] {
  return [...log.underWay].map(({ saga, call, of }) => `${of === 'run' ? '' : 'compensation of '}${call} of ${saga}`);
}

/** The transactions of transaction steps: the test's own, with the effects that are noted once they commit. */
function stagedTransactions<Tx>(
  { transaction, endTransaction }: SagaTestOptions<Tx>,
  log: EffectsLog,
): {
  readonly transaction: () => StagedTx;
  readonly endTransaction: (tx: unknown, outcome: 'commit' | 'rollback') => void;
} {
  return {
    transaction: () => ({ tx: transaction === undefined ? noTx() : transaction(), effects: [] }),
    endTransaction(staged, outcome) {
      const { tx, effects } = staged as StagedTx;
      if (transaction !== undefined) endTransaction?.(tx as Tx, outcome);
      if (outcome === 'commit') for (const effect of effects) log.note(effect);
    },
  };
}

/** Says what is missing as soon as a transaction step touches its `tx`. */
function noTx(): unknown {
  return new Proxy(
    {},
    {
      get(_, name) {
        if (name === 'then' || typeof name === 'symbol') return undefined;
        throw new HoldfastError(
          'HF_TX_UNSUPPORTED',
          `A transaction step used tx.${name}, but the test has no database.`,
          {
            advice: 'Replace the step by `steps`, or give `transaction: () => …` a stand-in.',
          },
        );
      },
    },
  );
}
