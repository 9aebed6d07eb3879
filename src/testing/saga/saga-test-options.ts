/** What a test of sagas can be given. */
import type { Duration } from '../../runtime/duration.ts';
import type { AnySaga } from '../../saga/definition/definition.ts';
import type { Responder } from './respond.ts';
import type { CompensationScript, StepScript } from './step-scripts.ts';

/** Options of {@link testSagas}. */
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
  /**
   * After a crash the next worker takes over within this time.
   *
   * @defaultValue '15s'
   */
  readonly lease?: Duration | undefined;
  /**
   * In [0, 1), for the jitter of retries.
   *
   * @defaultValue always 0.5
   */
  readonly random?: (() => number) | undefined;
  /**
   * Where the clock begins.
   *
   * @defaultValue 2026-01-01T00:00:00Z
   */
  readonly startAt?: Date | undefined;
  /**
   * How long, in real time, the test waits for what the clock has no say in.
   *
   * @defaultValue '2s'
   */
  readonly settleWithin?: Duration | undefined;
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
