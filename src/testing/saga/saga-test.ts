/**
 * The test kit of sagas: runs them in memory, on the engine of production, with a clock that the test moves, scripted participants,
 * failures and crashes. The public door (`holdfast/testing`); docs/testing-sagas.md shows it at work.
 */
import { HoldfastError } from '../../errors.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import type { HandleOf, Sagas } from '../../saga/client/client.ts';
import type { AnySaga, SagaInput, SagaResult } from '../../saga/definition/definition.ts';
import type { JournalEvent } from '../../saga/journal/events.ts';
import type { StartOptions } from '../../saga/client/start-request.ts';
import type { RunView } from '../../saga/store/store.ts';
import type { ManualClock } from '../manual-clock.ts';
import type { TestCall, TestEffect } from './effects-log.ts';
import type { FailOptions, Failure } from './fail-plan.ts';
import type { MemorySagaStore, TestStore } from './memory-saga-store.ts';
import type { MemoryTx } from './memory-transactions.ts';
import { KIT_OPTIONS, type SagaTestOptions } from './saga-test-options.ts';
import type { PassedPoint } from './crash-plan.ts';
import type { TestWorker } from './test-worker.ts';
import { createTestWorld, type TestWorld } from './test-world.ts';

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

/** Sagas under test. Made by {@link testSagas}. */
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

/**
 * Nothing runs before the first `start`; nothing has to be closed.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION, HF_SAGA_DEFINITION
 * @example
 * const test = testSagas({ sagas: [placeOrder], participants: [respond(ReserveStock, () => ({ shelf: 'a' }))] });
 * const run = await test.start(placeOrder, { orderId: 'o-1' });
 * console.log(await run.result(), test.story);
 */
export function testSagas<Tx = unknown>(options: SagaTestOptions<Tx>): SagaTest {
  refuseUnknownOptions(options, ['sagas', ...KIT_OPTIONS], 'testSagas');
  return createSagaTest(options, () => {});
}

/** @param onCrash told at the moment of each */
export function createSagaTest<Tx>(options: SagaTestOptions<Tx>, onCrash: (point: string) => void): SagaTestInside {
  const world = createTestWorld(options, onCrash);
  const { clock, store, sagas, log, plan, worker, delivery, scripted } = world;
  const settle = (): Promise<void> => world.settle();

  return {
    clock,
    store,
    sagas,
    async start(saga, input, startOptions) {
      const handle = await sagas.start(saga, input, startOptions);
      await settle();
      return testRun(handle, world);
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
    sleep: (duration) => world.sleep(parseDuration(duration, 'sleep')),
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
      const letGo = delivery.hold(topic);
      return async () => {
        letGo();
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
      return messagesOf(store);
    },
    points: worker.points,
    get crashes() {
      return worker.crashes;
    },
    worker,
    scripted,
  };
}

function testRun<S extends AnySaga>(handle: HandleOf<S, MemoryTx>, { store, settle }: TestWorld): TestRun<S> {
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

function messagesOf(store: MemorySagaStore): readonly TestMessage[] {
  return store.messages.map(({ id, topic, key, payload, headers }) => ({
    id,
    topic,
    key,
    payload,
    runId: (headers['correlationid'] as string | undefined) ?? null,
  }));
}

function isOver({ status }: Pick<RunView, 'status'>): boolean {
  return ['completed', 'compensated', 'stuck'].includes(status);
}

function notOver(runs: readonly RunView[]): HoldfastError {
  const named = runs.map(({ id, saga, status }) => `run ${id} of ${saga} is ${status}`).join('; ');
  return new HoldfastError('HF_RESULT_TIMEOUT', `Not all has ended: ${named}.`, {
    advice: 'Move the clock with test.advance(), or send the signal that is waited for.',
  });
}
