/**
 * What the API answers, as the page sees it: the types of the server's contract and of the operations, as JSON brings them.
 */
import type { Diagnosis } from '../../../operations/doctor/doctor.ts';
import type { QueuesStatus } from '../../../operations/doctor/read-queues.ts';
import type { JobSummary } from '../../../operations/jobs/job.ts';
import type { JobPlan } from '../../../operations/jobs/jobs.ts';
import type { ParkedDetails, ParkedSummary } from '../../../operations/parked/parked.ts';
import type { LimitsInForce } from '../../../operations/reads/limits-in-force.ts';
import type { NextDue } from '../../../operations/reads/list-due.ts';
import type { Findings, Found } from '../../../operations/path/find-anything.ts';
import type { MessagePath } from '../../../operations/path/path-model.ts';
import type { MessageDetails, ScheduledDetails } from '../../../operations/reads/messages.ts';
import type { FoundMessage } from '../../../operations/reads/search-messages.ts';
import type { WorkerStatus } from '../../../operations/sagas/saga-status.ts';
import type { RunSummary } from '../../../operations/sagas/sagas.ts';
import type { ParkedGroup, ParkedGroups } from '../../../operations/parked/parked-groups.ts';
import type { RevisedMessage, RevisionPreview } from '../../../operations/parked/revise.ts';
import type { SentByRun } from '../../../operations/sagas/sent-by-run.ts';
import type {
  AllFindings,
  AllOverviews,
  AlertsView,
  AsJson,
  Overview,
  RunStory,
  RunTimeline,
  SearchedPage,
  ShownAlert,
  WholePath,
} from '../../server/contract.ts';

export type WireOverview = AsJson<Overview>;
export type WireMessage = AsJson<FoundMessage>;
/** `silent`: where several databases were asked. */
export type WirePath = AsJson<MessagePath & Partial<Pick<WholePath, 'silent'>>>;
export type WireAllOverviews = AsJson<AllOverviews>;
/** What one of several databases said of itself. */
export type WireDatabaseNow = WireAllOverviews['items'][number];
export type WireAllFindings = AsJson<AllFindings>;
export type WireFindings = AsJson<Findings>;
export type WireFound = AsJson<Found>;
export type WireSent = AsJson<SentByRun>;
export type WireMessageDetails = AsJson<MessageDetails>;
export type WireScheduled = AsJson<ScheduledDetails>;
export type WireParked = AsJson<ParkedSummary>;
export type WireParkedDetails = AsJson<ParkedDetails>;
export type WireGroup = AsJson<ParkedGroup>;
export type WireGroups = AsJson<ParkedGroups>;
export type WireJob = AsJson<JobSummary>;
export type WireJobPlan = AsJson<JobPlan>;
export type WireRevised = AsJson<RevisedMessage>;
export type WirePreview = AsJson<RevisionPreview>;
export type WireRun = AsJson<RunSummary>;
export type WireRunPage = AsJson<RunStory>;
export type WireTimeline = AsJson<RunTimeline>;
export type WireWorker = AsJson<WorkerStatus>;
export type WireAlerts = AsJson<AlertsView>;
export type WireAlert = AsJson<ShownAlert>;
export type WireNextDue = AsJson<NextDue>;
export type WireLimits = AsJson<LimitsInForce>;
export type WireDiagnosis = AsJson<Diagnosis>;
export type WireQueue = AsJson<QueuesStatus['queues'][number]>;
/** A page of a list that is searched. */
export type WireSearched<Row> = AsJson<Omit<SearchedPage<never>, 'items'>> & { readonly items: readonly Row[] };
