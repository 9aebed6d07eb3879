/**
 * One act on all runs that match, counted and shown before: a job that is started and worked off in one call. Each run has its own audit
 * row, as if it had been done alone, and all rows name the same job; a run that has moved on meanwhile is passed over and told.
 */
import type { ErrorCode } from '../../errors.ts';
import type { Database } from '../../postgres/database.ts';
import type { ReasonedAct, Resolution } from '../sagas/saga-interventions.ts';
import { countOf, type JobAct } from './job.ts';
import { runJob } from './job-runner.ts';
import { abortJob, startJob } from './jobs.ts';
import { planOfRuns, type BulkPlan, type RunSelection } from './run-selection.ts';

/** What {@link actOnRuns} does to each run. */
export type BulkAct =
  | { readonly kind: 'retry' }
  | { readonly kind: 'cancel' }
  | { readonly kind: 'skip' }
  | { readonly kind: 'resolve'; readonly resolution: Resolution };

/** What {@link actOnRuns} has done. */
export interface BulkResult {
  /** The id of the job; stands in the audit row of each run. */
  readonly bulk: string;
  readonly done: number;
  /** Runs that had moved on, by the code of the refusal. */
  readonly passedOver: Readonly<Partial<Record<ErrorCode, number>>>;
  /** Runs on which it failed, by the code of the error; they are as they were. */
  readonly failed: Readonly<Record<string, number>>;
}

/** Options of {@link actOnRuns}. */
export interface BulkOptions {
  /** Told after each commit how many are done and passed over until then. */
  readonly onProgress?: ((progress: { readonly done: number; readonly passedOver: number }) => void) | undefined;
  /** Ends it between two commits; what is done stays done. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * What the act would meet now. Changes nothing.
 * Rejects with HF_CONFIG or HF_OPTION_UNKNOWN for a selection that cannot be used.
 */
export async function planBulk(database: Database, act: BulkAct, selection: RunSelection): Promise<BulkPlan> {
  return planOfRuns(database, act.kind, selection);
}

/**
 * Acts on each run that matches, oldest first, each once: on those that match when it comes to them and were there when it began.
 * What is refused for its state (it went on, it ended) is passed over. Any other failure of a run is noted in the job and ends nothing;
 * `holdfast job show` tells of it.
 */
export async function actOnRuns(
  database: Database,
  act: BulkAct,
  selection: RunSelection,
  { onProgress, signal, actor, reason }: ReasonedAct & BulkOptions,
): Promise<BulkResult> {
  const { id } = await startJob(database, jobActOf(act, selection), { actor, reason, rate: null });
  const job = await runJob(database, id, {
    signal,
    onProgress: ({ done, passedOver }) => onProgress?.({ done, passedOver: countOf(passedOver) }),
  });
  if (job.state === 'open') await abortJob(database, id, { actor, reason: 'its caller was told to end' });
  return { bulk: id, done: job.done, passedOver: job.passedOver, failed: job.failed };
}

/** The same act, as a job has it. */
export function jobActOf(act: BulkAct, select: RunSelection): JobAct {
  if (act.kind === 'resolve') return { kind: 'saga.resolve', select, resolution: act.resolution };
  return { kind: `saga.${act.kind}`, select };
}
