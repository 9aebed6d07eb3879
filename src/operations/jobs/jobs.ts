/**
 * Jobs as people meet them: what one would meet, starting, looking, aborting. A start and an abort commit with their rows of the audit.
 */
import { HoldfastError } from '../../errors.ts';
import { messageId } from '../../message/id.ts';
import type { Act } from '../../postgres/audit.ts';
import type { Database } from '../../postgres/database.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { assertReason, audited } from '../parked/interventions.ts';
import { parkedGroups, type ParkedGroup } from '../parked/parked-groups.ts';
import { checkRate, JOB_STATES, refuseGrown, type JobAct, type JobSummary } from './job.ts';
import {
  endJob,
  insertJob,
  readAbandoned,
  readJob,
  readJobIn,
  readJobs,
  wantJob,
  type JobFilter,
} from './job-store.ts';
import { planOfRuns, type BulkPlan } from './run-selection.ts';
import { runActKind, type RunJobAct } from './run-work.ts';

/** What a job would meet now. */
export interface JobPlan {
  /** How many; `atLeast`: counting stopped there. */
  readonly count: number;
  readonly atLeast: boolean;
  /** Of an act on parked messages, the largest first, at most 20. */
  readonly parked: readonly ParkedGroup[];
  /** Of an act on runs, the largest first, at most 20. */
  readonly runs: BulkPlan['groups'];
  /** Ids of some of them. */
  readonly sample: readonly string[];
}

/** Who starts a job, why, and how fast it goes. See {@link startJob}. */
export interface JobStart {
  readonly actor: string;
  /** Stands in the job, and in the audit rows of all that it does. */
  readonly reason: string;
  /**
   * Acts per second, from 0.1 on; null: as fast as it goes.
   *
   * @defaultValue 500
   */
  readonly rate?: number | null | undefined;
  /**
   * How many were shown to the person. When there are more by a tenth and ten, the job is not started.
   *
   * @defaultValue whatever there are
   */
  readonly expected?: number | undefined;
}

const DEFAULT_RATE = 500;
const MOST_GROUPS = 20;
const KINDS: readonly JobAct['kind'][] = [
  'parked.retry',
  'parked.discard',
  'saga.retry',
  'saga.cancel',
  'saga.skip',
  'saga.resolve',
];

/** Changes nothing. Rejects with HF_CONFIG or HF_OPTION_UNKNOWN for an act or a selection that cannot be used. */
export async function planJob(database: Database, act: JobAct): Promise<JobPlan> {
  checkAct(act);
  if (isOnRuns(act)) {
    const { runs, atLeast, groups, sample } = await planOfRuns(database, runActKind(act), act.select);
    return { count: runs, atLeast, parked: [], runs: groups, sample };
  }
  const { groups, messages } = await parkedGroups(database, { ...act.select, limit: MOST_GROUPS });
  return {
    count: messages,
    atLeast: false,
    parked: groups,
    runs: [],
    sample: groups.slice(0, 5).map(({ example }) => example),
  };
}

/**
 * Writes the job down; whoever calls {@link runJob} with its id works it off. What is parked, starts or gets stuck from here on is not touched.
 * Rejects with HF_CONFIG without a reason, for an act or a rate that cannot be used, and when there is far more than was shown.
 */
export async function startJob(database: Database, act: JobAct, start: JobStart): Promise<JobSummary> {
  refuseUnknownOptions(start, ['actor', 'reason', 'rate', 'expected'], 'startJob');
  const { actor, reason, expected } = start;
  assertReason(reason, 'Say why this is done to all of them');
  const rate = checkRate(start.rate === undefined ? DEFAULT_RATE : start.rate);
  const { count, atLeast } = await planJob(database, act);
  if (expected !== undefined) refuseGrown(count, atLeast, expected);
  const id = messageId();
  const planned = atLeast ? null : count;
  return audited(database, async (client, audit) => {
    await insertJob(client, database.schema, { id, act, actor, reason, planned, rate });
    await audit({
      actor,
      reason,
      action: 'job.start',
      subject: id,
      details: { act: withoutOutput(act), planned, rate },
    });
    return readJobIn(client, database.schema, id);
  });
}

/** Newest first. Rejects with HF_CONFIG or HF_OPTION_UNKNOWN for a filter that cannot be used. */
export async function listJobs(database: Database, filter: JobFilter = {}): Promise<readonly JobSummary[]> {
  refuseUnknownOptions(filter, ['state', 'orphaned', 'before', 'limit'], 'listJobs');
  if (filter.state !== undefined && !JOB_STATES.includes(filter.state)) {
    throw new HoldfastError('HF_CONFIG', `There is no state ${JSON.stringify(filter.state)} of jobs.`, {
      advice: `Give one of: ${JOB_STATES.join(', ')}.`,
    });
  }
  return readJobs(database, filter);
}

/** Rejects with HF_NOT_FOUND. */
export async function showJob(database: Database, id: string): Promise<JobSummary> {
  return readJob(database, id);
}

/**
 * Ends a job for good; what it has done stays done. Its runner learns of it with its next chunk. One that has ended already is left as it is.
 * Rejects with HF_NOT_FOUND.
 */
export async function abortJob(database: Database, id: string, { actor, reason }: Act): Promise<JobSummary> {
  return audited(database, async (client, audit) => {
    const ended = await endJob(client, database.schema, id, 'aborted');
    const job = await readJobIn(client, database.schema, id);
    if (ended) await audit({ actor, reason, action: 'job.abort', subject: id, details: { done: job.done } });
    return job;
  });
}

/**
 * Writes into the audit that somebody wants an open job gone on with; whoever calls {@link runJob} does it. One that has ended is left as it
 * is. Rejects with HF_CONFIG without a reason, HF_NOT_FOUND, and HF_LEASE_LOST while somebody works on it.
 */
export async function resumeJob(
  database: Database,
  id: string,
  { actor, reason }: Act & { readonly reason: string },
): Promise<JobSummary> {
  assertReason(reason, 'Say why it goes on');
  return audited(database, async (client, audit) => {
    const job = await readJobIn(client, database.schema, id);
    if (job.state !== 'open') return job;
    if (!(await wantJob(client, database.schema, { id, by: actor }))) {
      const now = await readJobIn(client, database.schema, id);
      if (now.state !== 'open') return now;
      throw new HoldfastError('HF_LEASE_LOST', `Job ${id} is being worked on by ${now.runner ?? 'another process'}.`, {
        advice: 'There is nothing to do: it goes on.',
        details: { job: id },
      });
    }
    await audit({ actor, reason, action: 'job.resume', subject: id, details: { done: job.done } });
    return job;
  });
}

/**
 * Ids of jobs that nobody works on although somebody should, oldest first: their process died, or handed them over. Not those that a person
 * has stopped. `actors`: how the names of those begin who start jobs for whoever asks.
 */
export async function abandonedJobs(database: Database, actors: string, limit = 10): Promise<readonly string[]> {
  return readAbandoned(database, { actors, limit });
}

/** As the audit keeps it, which is nobody's to hide: without values of users. */
function withoutOutput(act: JobAct): JobAct {
  if (act.kind !== 'saga.resolve') return act;
  const { call, as } = act.resolution;
  return { ...act, resolution: { call, as } };
}

function isOnRuns(act: JobAct): act is RunJobAct {
  return act.kind.startsWith('saga.');
}

/** What comes from elsewhere than a compiler has seen. */
function checkAct(act: JobAct): void {
  if (!KINDS.includes(act.kind)) {
    throw new HoldfastError('HF_CONFIG', `There is no job that does ${JSON.stringify(act.kind)}.`, {
      advice: `Give one of: ${KINDS.join(', ')}.`,
    });
  }
  if (typeof act.select !== 'object' || act.select === null) {
    throw new HoldfastError('HF_CONFIG', `${act.kind}: nothing says what it is for.`, {
      advice: 'Give `select`; an empty one means all.',
    });
  }
  const known = ['kind', 'select', ...(act.kind === 'parked.retry' ? ['withoutPredecessor'] : [])];
  refuseUnknownOptions(act, act.kind === 'saga.resolve' ? [...known, 'resolution'] : known, act.kind);
}
