/**
 * What a job is: one act on many parked messages or runs, done a chunk at a time. Types, and what is decided about jobs without a database.
 */
import { HoldfastError, type ErrorCode } from '../../errors.ts';
import { badOption } from '../../runtime/options.ts';
import type { ParkedCriteria } from '../parked/parked-rows.ts';
import type { Resolution } from '../sagas/saga-interventions.ts';
import type { RunSelection } from './run-selection.ts';

/** What a job does, and to what. */
export type JobAct =
  /** Consumers, with `withoutPredecessor`: a message parked as 'predecessor missing' goes on without it. */
  | {
      readonly kind: 'parked.retry';
      readonly select: ParkedCriteria;
      readonly withoutPredecessor?: boolean | undefined;
    }
  | { readonly kind: 'parked.discard'; readonly select: ParkedCriteria }
  | { readonly kind: 'saga.retry' | 'saga.cancel' | 'saga.skip'; readonly select: RunSelection }
  | { readonly kind: 'saga.resolve'; readonly select: RunSelection; readonly resolution: Resolution };

/** open: somebody works on it, or may go on with it. */
export type JobState = 'open' | 'done' | 'aborted';
export const JOB_STATES: readonly JobState[] = ['open', 'done', 'aborted'];

/** One that was not dealt with as asked, and why. */
export interface JobExample {
  /** What it was: `main/ID` of a parked message, the id of a run. */
  readonly subject: string;
  readonly code: ErrorCode | null;
  readonly message: string;
}

/** A job, as {@link showJob} and {@link listJobs} show it. */
export interface JobSummary {
  readonly id: string;
  readonly act: JobAct;
  readonly actor: string;
  readonly reason: string;
  readonly state: JobState;
  /** How many there were when it was started; null: more than were counted. */
  readonly planned: number | null;
  /** Acts per second; null: as fast as it goes. */
  readonly rate: number | null;
  readonly done: number;
  /** Those that had moved on, or were being worked on, by the code of the refusal. They are as they were. */
  readonly passedOver: Readonly<Record<string, number>>;
  /** Those that failed, by the code of the error; `other`: it had none. They are as they were. */
  readonly failed: Readonly<Record<string, number>>;
  /** The first few of both. */
  readonly examples: readonly JobExample[];
  /** Who works on it; null: nobody, and whoever likes can go on with it. */
  readonly runner: string | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly finishedAt: Date | null;
}

/** Kept of each job. */
export const MOST_EXAMPLES = 10;

/** Names a place in the order in which a job goes through what it is for. */
export interface JobPosition {
  readonly part: 'relay' | 'consumer' | 'run';
  /** Subscription or consumer; empty for runs. */
  readonly where: string;
  /** Seq, message id or id of the run. */
  readonly at: string;
}

/** Sum of counts by code. */
export function countOf(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

/**
 * Whether a selection is so much larger than what was shown that the person would have thought again: by more than a tenth and more than ten.
 * Pure.
 */
export function hasGrown(now: number, shown: number): boolean {
  return now > shown + Math.max(10, shown / 10);
}

/** @throws HoldfastError HF_CONFIG */
export function refuseGrown(now: number, atLeast: boolean, shown: number): void {
  if (!hasGrown(now, shown)) return;
  throw new HoldfastError(
    'HF_CONFIG',
    `There are ${atLeast ? 'more than ' : ''}${now} now, where ${shown} were shown. Nothing was done.`,
    { advice: 'Look again at what it would meet, and start it for that number.', details: { now, shown } },
  );
}

/** Acts of one commit at most. */
const CHUNK: Readonly<Record<JobAct['kind'], number>> = {
  'parked.retry': 100,
  'parked.discard': 100,
  'saga.retry': 200,
  'saga.skip': 200,
  'saga.resolve': 200,
  // A cancellation locks the row of its run until the commit, and its worker waits: never for a second one.
  'saga.cancel': 1,
};

/** How many acts go into the next commit: half a second's worth of the rate, so that it is even. Pure. */
export function chunkSize(kind: JobAct['kind'], rate: number | null): number {
  const most = CHUNK[kind];
  return rate === null ? most : Math.max(1, Math.min(most, Math.ceil(rate / 2)));
}

/** How long to rest after a chunk of `acts` that took `tookMs`, in milliseconds. Pure. */
export function restMs(acts: number, tookMs: number, rate: number | null): number {
  return rate === null ? 0 : Math.max(0, (acts * 1_000) / rate - tookMs);
}

/** Slower, the rest after one act could outlast the lease. */
const LEAST_RATE = 0.1;

/** @throws HoldfastError HF_CONFIG */
export function checkRate(rate: number | null): number | null {
  if (rate === null || (Number.isFinite(rate) && rate >= LEAST_RATE)) return rate;
  throw badOption('rate', `is ${rate}`, `Give acts per second, from ${LEAST_RATE} on, or null.`);
}
