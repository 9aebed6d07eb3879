/**
 * A saga tried with a crash at every place where its worker reads or writes anything: `await everyCrashPoint(placeOrder, input, check,
 * { participants })`. Runs it once to find the places, then once for each, before it and after it. Public (`holdfast/testing`).
 */
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import type { AnySaga, SagaInput, SagaResult } from '../../saga/definition/definition.ts';
import type { JournalEvent, JournalRow, RunStatus } from '../../saga/journal/events.ts';
import { seededRandom } from '../seeded-random.ts';
import { checkRun } from './check-run.ts';
import type { TestEffect } from './effects-log.ts';
import type { Failure } from './fail-plan.ts';
import type { MemoryRun } from './memory-saga-store.ts';
import { createSagaTest, type SagaTest, type SagaTestInside, type TestRun } from './saga-test.ts';
import { KIT_OPTIONS, type SagaTestOptions } from './saga-test-options.ts';
import type { PassedPoint } from './crash-plan.ts';

/** Options of {@link everyCrashPoint}. */
export interface CrashPointOptions<S extends AnySaga = AnySaga, Tx = unknown> extends Omit<
  SagaTestOptions<Tx>,
  'sagas'
> {
  /** Children of the saga. */
  readonly children?: readonly AnySaga[] | undefined;
  /** Steps of which every attempt fails. */
  readonly failStep?: Readonly<Record<string, Failure>> | undefined;
  /** Called before each try: puts the world that the steps work on back to its beginning. */
  readonly prepare?: (() => void) | undefined;
  /**
   * What happens to the run from outside: signals, a cancel, time. Time passes as far as it is needed.
   *
   * @defaultValue nothing
   */
  readonly drive?: ((test: SagaTest, run: TestRun<S>) => Promise<unknown>) | undefined;
  /**
   * Also accept runs that end stuck.
   *
   * @defaultValue false
   */
  readonly allowStuck?: boolean | undefined;
  /**
   * So many tries more, each with a second crash while the first is recovered from.
   *
   * @defaultValue 0
   */
  readonly secondCrash?: number | undefined;
  /**
   * Chooses where the second crashes are.
   *
   * @defaultValue 1
   */
  readonly seed?: number | undefined;
  /**
   * Longest life of a run, by the clock of the test.
   *
   * @defaultValue '365d'
   */
  readonly within?: Duration | undefined;
}

/** One try, after its end. */
export interface CrashTry<S extends AnySaga = AnySaga> {
  readonly status: RunStatus;
  readonly result: SagaResult<S> | null;
  readonly error: unknown;
  readonly history: readonly JournalEvent[];
  readonly effects: readonly TestEffect[];
  /** Names of the effects: `charge`, `compensate charge`. */
  readonly story: readonly string[];
  /** Where the worker died; null for the try without a crash. */
  readonly point: string | null;
  readonly test: SagaTest;
}

/** What {@link everyCrashPoint} has tried. */
export interface CrashReport {
  /** Places at which a crash was tried. */
  readonly points: number;
  readonly tries: number;
  readonly crashes: number;
  /** How often runs ended how. */
  readonly statuses: Readonly<Partial<Record<RunStatus, number>>>;
}

/** The same in every try, so that `random()` and `uuid()` of the run are the same too. */
const RUN_ID = '00000000-0000-7000-8000-000000000001';
const OWN = ['children', 'failStep', 'prepare', 'drive', 'allowStuck', 'secondCrash', 'seed', 'within'];

/**
 * @param check called after each try; what it throws fails the whole, with the place of the crash and the history of the run
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION; Error when a try does not end as it must
 * @example
 * const report = await everyCrashPoint(placeOrder, { orderId: 'o-1' }, ({ status }) => {
 *   if (status !== 'completed') throw new Error(`it ended ${status}`);
 * });
 * console.log(report);
 */
export async function everyCrashPoint<S extends AnySaga, Tx = unknown>(
  saga: S,
  input: SagaInput<S>,
  check: (ended: CrashTry<S>) => void | Promise<void>,
  options: CrashPointOptions<S, Tx> = {},
): Promise<CrashReport> {
  refuseUnknownOptions(options, [...OWN, ...KIT_OPTIONS], 'everyCrashPoint');
  const within = parseDuration(options.within ?? '365d', 'everyCrashPoint: within');
  const statuses: Partial<Record<RunStatus, number>> = {};
  let tries = 0;
  let crashes = 0;

  async function attempt(planned: readonly PassedPoint[], again: number | null): Promise<readonly PassedPoint[]> {
    const where = describe(planned, again);
    const journals: (readonly JournalRow[])[] = [];
    options.prepare?.();
    const test: SagaTestInside = createSagaTest(kitOptions(saga, options), () => {
      const run = test.store.snapshot().runs.find(({ id }) => id === RUN_ID);
      if (run !== undefined) journals.push(run.journal);
    });
    for (const [name, failure] of Object.entries(options.failStep ?? {}))
      test.failStep(name, failure, { times: Infinity });
    for (const { point, occurrence } of planned) test.crashAt(point, { occurrence });
    let after = again;
    if (after !== null) test.worker.planCrash(() => test.crashes > 0 && after !== null && (after -= 1) === 0);
    tries += 1;
    try {
      const run = await test.start(saga, input, { id: RUN_ID });
      await options.drive?.(test, run);
      await test.worker.advanceUntil(
        () => test.store.views.every(({ status }) => ['completed', 'compensated', 'stuck'].includes(status)),
        within,
      );
      await test.settle();
      crashes += test.crashes;
      const ended = await endedRun(test, journals, options.allowStuck === true);
      statuses[ended.status] = (statuses[ended.status] ?? 0) + 1;
      await check(tryOf<S>(test, ended, where));
    } catch (error) {
      throw told(error, where, test);
    }
    return test.points;
  }

  const points = [...(await attempt([], null))];
  for (const point of points) await attempt([point], null);
  const random = seededRandom(options.seed ?? 1);
  for (let n = 0; n < (options.secondCrash ?? 0); n += 1) {
    const first = points[Math.floor(random() * points.length)];
    if (first !== undefined) await attempt([first], 1 + Math.floor(random() * points.length));
  }
  return { points: points.length, tries, crashes, statuses };
}

/** The run, once it ended as it must, and its children too. Rejects with all that is wrong. */
async function endedRun(
  test: SagaTestInside,
  journals: readonly (readonly JournalRow[])[],
  allowStuck: boolean,
): Promise<MemoryRun> {
  const wrong: string[] = [];
  for (const run of test.store.snapshot().runs) {
    const saga = test.scripted.find(({ name, version }) => name === run.saga && version === run.version);
    if (saga === undefined) continue;
    const effects = test.effects.filter(({ runId }) => runId === run.id);
    const earlier = run.id === RUN_ID ? journals : [];
    const found = await checkRun({ saga, run, effects, messages: test.store.messages, earlier, allowStuck });
    wrong.push(...found.map((each) => (run.id === RUN_ID ? each : `child ${run.saga}: ${each}`)));
  }
  if (wrong.length > 0) throw new Error(`${wrong.join('; ')}.`);
  const run = test.store.snapshot().runs.find(({ id }) => id === RUN_ID);
  if (run === undefined) throw new Error('the run is gone.');
  return run;
}

function tryOf<S extends AnySaga>(test: SagaTestInside, run: MemoryRun, point: string | null): CrashTry<S> {
  const { status, error } = run;
  const result = run.result as SagaResult<S> | null;
  const history = run.journal.flatMap(({ events }) => events);
  return { status, result, error, history, effects: test.effects, story: test.story, point, test };
}

function kitOptions<Tx>(saga: AnySaga, options: CrashPointOptions<never, Tx>): SagaTestOptions<Tx> {
  const kit = Object.fromEntries(Object.entries(options).filter(([name]) => KIT_OPTIONS.includes(name)));
  return { ...kit, sagas: [saga, ...(options.children ?? [])] };
}

function describe(planned: readonly PassedPoint[], again: number | null): string | null {
  const [first] = planned;
  if (first === undefined) return null;
  const second = again === null ? '' : `, and at the ${again}. place after it`;
  return `${first.point}, occurrence ${first.occurrence}${second}`;
}

/** The error with what one needs to find its cause. */
function told(error: unknown, where: string | null, test: SagaTestInside): Error {
  const reason = error instanceof Error ? error.message : String(error);
  const run = test.store.snapshot().runs.find(({ id }) => id === RUN_ID);
  const rows = (run?.journal ?? []).map(
    ({ n, events }) => `  ${n}  ${events.map((event) => JSON.stringify(event)).join(' ')}`,
  );
  return new Error(
    [
      where === null ? `Without any crash: ${reason}` : `With a crash at ${where}: ${reason}`,
      `Effects: ${test.story.join(', ') || 'none'}.`,
      `Journal of the run, which is ${run?.status ?? 'not there'}:`,
      ...rows,
    ].join('\n'),
    { cause: error },
  );
}
