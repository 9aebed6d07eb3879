/** The rows that the in-memory store of sagas keeps. */
import { skippedOf } from '../../saga/journal/end-error.ts';
import type { RunStatus, CompensationReason } from '../../saga/journal/events.ts';
import type { RefusedAct } from '../../saga/journal/refused.ts';
import type { KeptSignals, RunView, SagaVersion } from '../../saga/store/store.ts';

/** A run as it is stored. Replaced as a whole, never changed. */
export interface StoredRun extends SagaVersion {
  readonly id: string;
  readonly key: string | null;
  readonly status: RunStatus;
  readonly reason: CompensationReason | null;
  readonly pivoted: boolean;
  readonly worker: string | null;
  readonly claims: number;
  readonly lost: number;
  readonly wakeAt: number | null;
  readonly deadlineAt: number | null;
  readonly parent: { readonly id: string; readonly call: string } | null;
  /** JSON text. */
  readonly result: string | null;
  /** JSON text. */
  readonly error: string | null;
  readonly startedAt: number;
  readonly finishedAt: number | null;
  readonly growth: number;
  readonly signals: KeptSignals;
  readonly refused: readonly RefusedAct[];
}

export interface StoredWorker {
  readonly id: string;
  readonly name: string;
  readonly sagas: readonly SagaVersion[];
  readonly leaseUntil: number;
}

/** A message that a commit put into the outbox. */
export interface MemoryMessage {
  readonly id: string;
  readonly topic: string;
  readonly key: string | null;
  readonly payload: unknown;
  readonly headers: Readonly<Record<string, unknown>>;
}

export function isFinished(status: RunStatus): boolean {
  return status === 'completed' || status === 'compensated';
}

export function viewOf(run: StoredRun): RunView {
  const { id, saga, version, key, status, reason, pivoted, startedAt, finishedAt, growth, refused } = run;
  const parsed = (text: string | null): unknown => (text === null ? null : JSON.parse(text));
  const [result, error] = [parsed(run.result), parsed(run.error)];
  return {
    id,
    saga,
    version,
    key,
    status,
    reason,
    pivoted,
    result,
    error,
    startedAt,
    finishedAt,
    growth,
    skipped: skippedOf(error),
    refused: [...refused],
  };
}
