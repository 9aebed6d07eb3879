/**
 * The doctor's look at jobs: acts on many that were started and that nobody goes on with.
 */
import { listJobs } from '../jobs/jobs.ts';
import type { JobSummary } from '../jobs/job.ts';
import type { Check, CheckFinding } from './finding.ts';

/** A job has no runner for a moment when it begins, and while it goes from one process to another. */
const LEFT_FOR_MS = 60_000;

export const checkJobs: Check = async (database) => judgeJobs(await listJobs(database, { orphaned: true }), Date.now());

/** Pure. `orphaned`: those that are open and that nobody works on. */
export function judgeJobs(orphaned: readonly JobSummary[], nowMs: number): readonly CheckFinding[] {
  return orphaned
    .filter(({ updatedAt }) => nowMs - updatedAt.getTime() > LEFT_FOR_MS)
    .map(({ id, act, actor, done, planned, updatedAt }) => ({
      level: 'warn',
      check: 'jobs.orphaned',
      what: `Nobody goes on with the job ${id} (${act.kind}) that ${actor} has started: ${done}${planned === null ? '' : ` of ${planned}`} done, the last ${Math.round((nowMs - updatedAt.getTime()) / 60_000)} min ago.`,
      advice: `Go on with it: holdfast job resume ${id}; or end it: holdfast job abort ${id}.`,
      repair: `holdfast job resume ${id}`,
    }));
}
