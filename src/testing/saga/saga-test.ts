/**
 * The test kit of sagas: runs them in memory, on the engine of production, with a clock that the test moves, scripted participants,
 * failures and crashes. The public door (`holdfast/testing`); docs/testing-sagas.md shows it at work.
 */
import { HoldfastError } from '../../errors.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { createSagasOn, type HandleOf, type Sagas } from '../../saga/client/client.ts';
import { createRegistry, type AnySaga, type SagaInput, type SagaResult } from '../../saga/definition/definition.ts';
import { MOVES, type JournalEvent, type RunStatus } from '../../saga/journal/events.ts';
import type { StartOptions } from '../../saga/client/start-request.ts';
import type { RunView } from '../../saga/store/store.ts';
import { createManualClock, type ManualClock } from '../manual-clock.ts';
import { createEffectsLog, type TestCall, type TestEffect } from './effects-log.ts';
import { createFailPlan, type FailOptions, type Failure } from './fail-plan.ts';
import { createMemorySagaStore, type MemorySagaStore, type TestStore } from './memory-saga-store.ts';
import type { MemoryMessage } from './memory-tables.ts';
import type { MemoryTx } from './memory-transactions.ts';
import type { Responder } from './respond.ts';
import { createScriptedParticipants } from './scripted-participants.ts';
import { scriptSagas, type StagedTx, type StepScript, type CompensationScript } from './step-scripts.ts';
import { createTestWorker, type PassedPoint, type TestWorker } from './test-worker.ts';

export interface SagaTestOptions<Tx = unknown> {
  /** Those under test, and their children. */
  readonly sagas: readonly AnySaga[];
  /** One for each command: `respond(ReserveStock, (command) => ({ … }))`. Compensations that are not named are done. */
  readonly participants?: readonly Responder[] | undefined;
  /** Stand for the `run` of local steps and transactions, by the step's name or by `saga.step`. */
  readonly steps?: Readonly<Record<string, StepScript<Tx>>> | undefined;
  /** Stand for their `compensate`. */
  readonly compensations?: Readonly<Record<string, CompensationScript<Tx>>> | undefined;
  /** Makes the `tx` of transaction steps, one for each attempt. */
  readonly transaction?: (() => Tx) | undefined;
  /** Told how each ended, within the commit itself: make its effects here, or forget them. */
  readonly endTransaction?: ((tx: Tx, outcome: 'commit' | 'rollback') => void) | undefined;
  /** After a crash the next worker takes over within this time; default '15s'. */
  readonly lease?: Duration | undefined;
  /** In [0, 1), for the jitter of retries; default: always 0.5. */
  readonly random?: (() => number) | undefined;
  /** Where the clock begins; default 2026-01-01T00:00:00Z. */
  readonly startAt?: Date | undefined;
  /** How long, in real time, the test waits for what the clock has no say in; default '2s'. */
  readonly settleWithin?: Duration | undefined;
}

/** A run under test. What it asks for settles before it resolves. */
export interface TestRun<S extends AnySaga> extends HandleOf<S, MemoryTx> {
  /** Rejects as that of any handle; and with HF_RESULT_TIMEOUT at once when the run waits for something. */
  result(): Promise<SagaResult<S>>;
  /** The events of its journal, oldest first. */
  history(): Promise<readonly JournalEvent[]>;
}

/** A message that has left through the outbox. */
export interface TestMessage {
  readonly id: string;
  readonly topic: string;
  readonly key: string | null;
  readonly payload: unknown;
  /** The run that sent it. */
  readonly runId: string | null;
}

export interface SagaTest {
  readonly clock: ManualClock;
  readonly store: TestStore;
  /** The client as services have it: settles nothing by itself. Transactions: `store.inTransaction`. */
  readonly sagas: Sagas<MemoryTx>;
  /** Starts a run and settles. */
  start<S extends AnySaga>(saga: S, input: SagaInput<S>, options?: StartOptions): Promise<TestRun<S>>;
  /** Moves the clock, from one due time to the next, settling at each. */
  advance(by: Duration): Promise<void>;
  /** Until nothing goes on any more without the clock. Rejects with HF_TEST_UNSETTLED, and with mistakes that scripts have made. */
  settle(): Promise<void>;
  /** Moves the clock on until every run has ended or is stuck; default within '365d'. Rejects with HF_RESULT_TIMEOUT. */
  finish(options?: { readonly within?: Duration | undefined }): Promise<void>;
  /** For scripts that take their time: ends when the clock has been moved so far. */
  sleep(duration: Duration): Promise<void>;
  /** The next attempt of a step, or those that `options` say, fails or hangs; of a command: its participant. */
  failStep(name: string, failure: Failure, options?: FailOptions): void;
  /** The same for its compensation. */
  failCompensation(name: string, failure: Failure, options?: FailOptions): void;
  /** The worker dies when it passes this point (see SAGA_CRASH_POINTS) so many times from now on; default 1. */
  crashAt(point: string, options?: { readonly occurrence?: number | undefined }): void;
  /** The worker dies now. Another one takes over when the lease has ended. */
  crash(): Promise<void>;
  /** Another worker takes over now: after a crash without waiting for the lease, or in place of the one that lives. */
  restart(): Promise<void>;
  /** Keeps back the messages of a topic, until the function it returns is called. */
  hold(topic: string): () => Promise<void>;
  /** Every attempt of every step and compensation, oldest first. */
  readonly calls: readonly TestCall[];
  /** What has happened outside, each effect once, in the order in which they first happened. */
  readonly effects: readonly TestEffect[];
  /** Their names in that order: `charge`, `compensate charge`. */
  readonly story: readonly string[];
  /** All that has left through the outbox, oldest first. */
  readonly messages: readonly TestMessage[];
  readonly points: readonly PassedPoint[];
  /** How often a worker died. */
  readonly crashes: number;
}

/** What every-crash-point.ts needs beside. */
export interface SagaTestInside extends SagaTest {
  readonly store: MemorySagaStore;
  readonly worker: TestWorker;
  /** As they are run, with their steps noted. */
  readonly scripted: readonly AnySaga[];
}

/** All options but the sagas. */
export const KIT_OPTIONS: readonly string[] = [
  'participants',
  'steps',
  'compensations',
  'transaction',
  'endTransaction',
  'lease',
  'random',
  'startAt',
  'settleWithin',
];
const ANY_STATUS = Object.keys(MOVES) as RunStatus[];

/**
 * Nothing runs before the first `start`; nothing has to be closed.
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION, HF_SAGA_DEFINITION
 */
export function testSagas<Tx = unknown>(options: SagaTestOptions<Tx>): SagaTest {
  refuseUnknownOptions(options, ['sagas', ...KIT_OPTIONS], 'testSagas');
  return createSagaTest(options, () => {});
}

/** @param onCrash told at the moment of each */
export function createSagaTest<Tx>(options: SagaTestOptions<Tx>, onCrash: (point: string) => void): SagaTestInside {
  const { participants = [], steps = {}, compensations = {} } = options;
  createRegistry(options.sagas, 'testSagas');
  const clock = createManualClock(options.startAt);
  const held = new Map<string, MemoryMessage[]>();
  const arrived: MemoryMessage[] = [];
  const faults: unknown[] = [];
  const outside = new Set<Promise<unknown>>();
  let sleepers = 0;

  const log = createEffectsLog(() => worker.note());
  const plan = createFailPlan(options.sagas);
  const scripted = scriptSagas<Tx>(options.sagas, { steps, compensations }, log, plan);
  const registry = createRegistry(scripted, 'testSagas');
  const store = createMemorySagaStore({
    clock,
    transaction: (): StagedTx => ({
      tx: options.transaction === undefined ? noTx() : options.transaction(),
      effects: [],
    }),
    endTransaction(staged, outcome) {
      const { tx, effects } = staged as StagedTx;
      if (options.transaction !== undefined) options.endTransaction?.(tx as Tx, outcome);
      if (outcome === 'commit') for (const effect of effects) log.note(effect);
    },
    onMessage(message) {
      (held.get(message.topic) ?? arrived).push(message);
      worker.note();
    },
  });
  const sleep = async (delayMs: number): Promise<void> => {
    sleepers += 1;
    await clock.sleep(delayMs);
    sleepers -= 1;
    worker.note();
  };
  const responders = createScriptedParticipants({
    sagas: options.sagas,
    responders: participants,
    log,
    plan,
    sagaOf: (runId) => store.views.find(({ id }) => id === runId)?.saga,
    post: async (runId, body) => void (await store.postRunMessage(null, runId, body, ANY_STATUS)),
    sleep: (delayMs) => clock.sleep(delayMs).then(() => worker.note()),
  });

  const worker = createTestWorker({
    clock,
    store,
    registry,
    leaseMs: parseDuration(options.lease ?? '15s', 'testSagas: lease'),
    random: options.random ?? (() => 0.5),
    settleWithinMs: parseDuration(options.settleWithin ?? '2s', 'testSagas: settleWithin'),
    pump() {
      for (const message of arrived.splice(0)) {
        const work: Promise<unknown> = responders
          .receive(message)
          .catch((error: unknown) => faults.push(error))
          .finally(() => (outside.delete(work), worker.note()));
        outside.add(work);
      }
    },
    // Those that sleep by the clock of the test are no reason to wait.
    busy: () => {
      const names = [...log.underWay].map(
        ({ saga, call, of }) => `${of === 'run' ? '' : 'compensation of '}${call} of ${saga}`,
      );
      return names.length <= sleepers ? [] : names;
    },
    onCrash,
  });

  let started: Promise<void> | null = null;
  const settle = async (): Promise<void> => {
    started ??= worker.start();
    await started;
    await worker.settle();
    if (faults.length > 0) throw faults.shift();
  };
  const { sagas } = createSagasOn<MemoryTx>(store, { registry, clock, where: 'testSagas' });
  const isOver = ({ status }: Pick<RunView, 'status'>): boolean =>
    ['completed', 'compensated', 'stuck'].includes(status);

  function testRun<S extends AnySaga>(handle: HandleOf<S, MemoryTx>): TestRun<S> {
    const own: Omit<TestRun<S>, 'signal'> & { signal(...given: readonly unknown[]): Promise<void> } = {
      ...handle,
      async result() {
        await settle();
        const run = await handle.status();
        if (isOver(run)) return handle.result();
        throw notOver([run]);
      },
      async signal(...given) {
        await (handle.signal as (...all: readonly unknown[]) => Promise<void>)(...given);
        await settle();
      },
      async cancel(cancelOptions) {
        const answer = await handle.cancel(cancelOptions);
        await settle();
        return answer;
      },
      history: async () => (await store.journal(handle.id)).flatMap(({ events }) => events),
    };
    return own as TestRun<S>;
  }

  return {
    clock,
    store,
    sagas,
    async start(saga, input, startOptions) {
      const handle = await sagas.start(saga, input, startOptions);
      await settle();
      return testRun(handle);
    },
    async advance(by) {
      const byMs = parseDuration(by, 'advance');
      await settle();
      await worker.advance(byMs);
      await settle();
    },
    settle,
    async finish({ within = '365d' } = {}) {
      await settle();
      const done = await worker.advanceUntil(() => store.views.every(isOver), parseDuration(within, 'finish'));
      await settle();
      if (!done) throw notOver(store.views.filter((run) => !isOver(run)));
    },
    sleep: (duration) => sleep(parseDuration(duration, 'sleep')),
    failStep: (name, failure, failOptions) => plan.add(name, 'run', failure, failOptions),
    failCompensation: (name, failure, failOptions) => plan.add(name, 'compensation', failure, failOptions),
    crashAt(point, { occurrence = 1 } = {}) {
      let left = occurrence;
      worker.planCrash((passed) => passed.point === point && (left -= 1) === 0);
    },
    async crash() {
      await settle();
      await worker.crash();
      await settle();
    },
    async restart() {
      await settle();
      if (!worker.mourning) await worker.crash();
      await worker.expireDead();
      await settle();
    },
    hold(topic) {
      const kept: MemoryMessage[] = held.get(topic) ?? [];
      held.set(topic, kept);
      return async () => {
        held.delete(topic);
        arrived.push(...kept.splice(0));
        await settle();
      };
    },
    get calls() {
      return [...log.calls];
    },
    get effects() {
      return log.effects;
    },
    get story() {
      return log.effects.map(({ name }) => name);
    },
    get messages() {
      return store.messages.map(({ id, topic, key, payload, headers }) => ({
        id,
        topic,
        key,
        payload,
        runId: (headers['correlationid'] as string | undefined) ?? null,
      }));
    },
    points: worker.points,
    get crashes() {
      return worker.crashes;
    },
    worker,
    scripted,
  };
}

function notOver(runs: readonly RunView[]): HoldfastError {
  const named = runs.map(({ id, saga, status }) => `run ${id} of ${saga} is ${status}`).join('; ');
  return new HoldfastError('HF_RESULT_TIMEOUT', `Not all has ended: ${named}.`, {
    advice: 'Move the clock with test.advance(), or send the signal that is waited for.',
  });
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
