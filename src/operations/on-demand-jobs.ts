/**
 * More of the operations that `import 'holdfast'` offers, each loaded with its first call as those of on-demand.ts are: parked messages in
 * groups, acts on many, and editing one.
 */
import type { Act } from '../postgres/audit.ts';
import type { Database } from '../postgres/database.ts';
import type { JobAct, JobSummary } from './jobs/job.ts';
import type { RunJobOptions } from './jobs/job-runner.ts';
import type { JobFilter } from './jobs/job-store.ts';
import type { JobPlan, JobStart } from './jobs/jobs.ts';
import type { DiscardSelection } from './parked/interventions.ts';
import type { ParkedGroupFilter, ParkedGroups } from './parked/parked-groups.ts';
import type { ParkedPage, ParkedSearch } from './parked/search-parked.ts';
import type { PayloadRevision } from './parked/payload-revision.ts';
import type { RevisedMessage, RevisionPreview } from './parked/revise.ts';
import type { ReasonedAct } from './sagas/saga-interventions.ts';

/**
 * Failed parked messages by place, topic, reason and kind of error, the largest group first, with counts over time. One look at the tables,
 * however many are parked.
 *
 * @throws HoldfastError HF_CONFIG, HF_DURATION, HF_OPTION_UNKNOWN
 * @example
 * const { groups } = await parkedGroups(database, { consumer: 'billing' });
 * for (const { id, messages, error } of groups) console.log(messages, error, id);
 */
export async function parkedGroups(database: Database, filter?: ParkedGroupFilter): Promise<ParkedGroups> {
  return (await import('./parked/parked-groups.ts')).parkedGroups(database, filter);
}

/**
 * A page of the parked messages that fit, place by place, those of relays first, in each the oldest first. It comes in time whatever is parked:
 * what no index serves (topic, state, group) is looked through for `lookFor`, and the page says how far it looked.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION, HF_READ_TIMEOUT
 * @example
 * let cursor: string | null | undefined;
 * while (cursor !== null) {
 *   const { parked, next } = await searchParked(database, { topic: 'order.*', cursor });
 *   for (const { id, where, error } of parked) console.log(id, where, error);
 *   cursor = next;
 * }
 */
export async function searchParked(database: Database, search?: ParkedSearch): Promise<ParkedPage> {
  return (await import('./parked/search-parked.ts')).searchParked(database, search);
}

/**
 * What a job would meet now. Changes nothing.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN for an act or a selection that cannot be used
 * @example
 * const { count, parked } = await planJob(database, { kind: 'parked.retry', select: { topic: 'order.*' } });
 * console.log(count, parked.map(({ error }) => error));
 */
export async function planJob(database: Database, act: JobAct): Promise<JobPlan> {
  return (await import('./jobs/jobs.ts')).planJob(database, act);
}

/**
 * Writes down an act on many; whoever calls {@link runJob} with its id works it off. What is parked, starts or gets stuck from here on is not
 * touched.
 *
 * @throws HoldfastError HF_CONFIG without a reason, for an act or a rate that cannot be used, and when there is far more than `expected`
 * @example
 * const act = { kind: 'parked.retry', select: { topic: 'order.*' } } as const;
 * const { count } = await planJob(database, act);
 * const { id } = await startJob(database, act, { actor: 'ada', reason: 'the bug is mended', expected: count, rate: 100 });
 * const { done, passedOver } = await runJob(database, id);
 */
export async function startJob(database: Database, act: JobAct, start: JobStart): Promise<JobSummary> {
  return (await import('./jobs/jobs.ts')).startJob(database, act, start);
}

/**
 * Works on a job until it is done, aborted, or `signal` aborts; resolves with how it stands then. Each chunk is one commit with its progress
 * and its rows of the audit, so a process that dies has done nothing twice, and any process can go on by this same call.
 *
 * @throws HoldfastError HF_NOT_FOUND, HF_LEASE_LOST while another one works on it, and what keeps it from working at all: it is left open then
 * @example
 * for (const { id } of await listJobs(database, { orphaned: true })) await runJob(database, id);
 */
export async function runJob(database: Database, id: string, options?: RunJobOptions): Promise<JobSummary> {
  return (await import('./jobs/job-runner.ts')).runJob(database, id, options);
}

/**
 * Jobs, newest first.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN
 * @example
 * for (const { id, done, planned } of await listJobs(database, { state: 'open' })) console.log(id, done, planned);
 */
export async function listJobs(database: Database, filter?: JobFilter): Promise<readonly JobSummary[]> {
  return (await import('./jobs/jobs.ts')).listJobs(database, filter);
}

/**
 * One job: what it is for, how far it is, and what was passed over or failed.
 *
 * @throws HoldfastError HF_NOT_FOUND
 * @example
 * const { state, failed, examples } = await showJob(database, '0197a1f0-7d1c-7cc3-98c4-dc0c0c07398f');
 * console.log(state, failed, examples);
 */
export async function showJob(database: Database, id: string): Promise<JobSummary> {
  return (await import('./jobs/jobs.ts')).showJob(database, id);
}

/**
 * Ends a job for good; what it has done stays done. One that has ended already is left as it is.
 *
 * @throws HoldfastError HF_NOT_FOUND
 * @example
 * await abortJob(database, '0197a1f0-7d1c-7cc3-98c4-dc0c0c07398f', { actor: 'ada', reason: 'wrong group' });
 */
export async function abortJob(database: Database, id: string, act: Act): Promise<JobSummary> {
  return (await import('./jobs/jobs.ts')).abortJob(database, id, act);
}

/**
 * Writes into the audit that an open job goes on; whoever calls {@link runJob} does it, and a dashboard if nobody does. One that has ended is left
 * as it is.
 *
 * @throws HoldfastError HF_NOT_FOUND, HF_CONFIG without a reason, HF_LEASE_LOST while somebody works on it
 * @example
 * const { id, state } = await resumeJob(database, '0197a1f0-7d1c-7cc3-98c4-dc0c0c07398f', { actor: 'ada', reason: 'it was right' });
 * if (state === 'open') await runJob(database, id);
 */
export async function resumeJob(database: Database, id: string, act: ReasonedAct): Promise<JobSummary> {
  return (await import('./jobs/jobs.ts')).resumeJob(database, id, act);
}

/**
 * What {@link reviseParked} would make of a parked message: its payload before and after. Changes nothing.
 *
 * @throws HoldfastError as {@link reviseParked}
 * @example
 * const id = '0197a1f0-7d1c-7cc3-98c4-dc0c0c07398f';
 * const { before, after } = await previewRevision(database, { id, consumer: 'billing' }, { patch: { currency: 'EUR' } });
 * console.log(before, after);
 */
export async function previewRevision(
  database: Database,
  selection: DiscardSelection,
  revision: PayloadRevision,
): Promise<RevisionPreview> {
  return (await import('./parked/revise.ts')).previewRevision(database, selection, revision);
}

/**
 * Puts a new version of a parked message in its place, with another payload. It is due at once, and keeps its place in the order of its key.
 * Where a consumer has it parked, the new version has a new id and a header `holdfast-revises` that names the old one, which counts as
 * handled. Where a relay has, it is published with the new payload under its own id, which the header names; the log keeps it as it was
 * written, and so it goes out by other subscriptions and replays.
 *
 * @throws HoldfastError HF_NOT_FOUND, HF_PAYLOAD_NOT_JSON, HF_PAYLOAD_TEXT, HF_PAYLOAD_TOO_LARGE, HF_LOCK_WAIT while it is being handled,
 * HF_PARKED_BUSY while it is being published, and HF_CONFIG without a reason, when it is parked in several places and the selection does not
 * say which, and for a message that cannot be edited: unreadable, or with its data elsewhere
 * @example
 * const { id } = await reviseParked(
 *   database,
 *   { id: '0197a1f0-7d1c-7cc3-98c4-dc0c0c07398f', consumer: 'billing' },
 *   { patch: { currency: 'EUR' } },
 *   { actor: 'ada', reason: 'the shop forgot the currency' },
 * );
 * console.log('handled next as', id);
 */
export async function reviseParked(
  database: Database,
  selection: DiscardSelection,
  revision: PayloadRevision,
  act: ReasonedAct,
): Promise<RevisedMessage> {
  return (await import('./parked/revise.ts')).reviseParked(database, selection, revision, act);
}
