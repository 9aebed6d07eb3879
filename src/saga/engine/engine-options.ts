/**
 * What the engine is given: the store, the time, and whom it tells of what happens.
 */
import type { Logger } from '../../runtime/log.ts';
import type { RunSettings } from '../run/run-settings.ts';
import type { AnySaga, Registry } from '../definition/definition.ts';
import type { StepExecutor } from './step-executor.ts';
import type { RunEvent } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import type { WorkerStore } from '../store/store.ts';

/** Where attempts hand in what came of them. */
export interface StepExecutorSink {
  tell(run: Run, runEvent: RunEvent): void;
  quiet(run: Run): Promise<void>;
}

export interface EngineOptions {
  readonly store: WorkerStore;
  readonly workerId: string;
  readonly registry: Registry;
  readonly settings: RunSettings;
  /** Fingerprint of what a saga declares here. */
  readonly codeOf: (saga: AnySaga) => string;
  readonly log: Logger;
  readonly random: () => number;
  /** The store's time. */
  readonly now: () => number;
  /** Most runs kept in memory although they only wait. */
  readonly mostWaiting: number;
  readonly createExecutor: (engine: StepExecutorSink) => StepExecutor;
  readonly pass: (point: string) => boolean;
  readonly onBroken: (error: unknown) => void;
  /** The wait before something is tried again that has failed so often. */
  readonly pause: (failures: number) => Promise<void>;
  /** A run has left memory: there is room, and, if what it is has been stored, perhaps an end to tell of. */
  readonly onLeft: (run: Run, stored: boolean) => void;
  /** The earliest timer has changed. */
  readonly onTimer: () => void;
  readonly onCommit: (runs: number) => void;
  /** Other runs were started, or have messages. */
  readonly onPosted: () => void;
}
