/**
 * What the API answers, as the page sees it: the types of the server's contract and of the operations, as JSON brings them.
 */
import type { Diagnosis } from '../../../operations/doctor/doctor.ts';
import type { ParkedDetails, ParkedSummary } from '../../../operations/parked/parked.ts';
import type { MessageDetails, MessageSummary, ScheduledDetails } from '../../../operations/reads/messages.ts';
import type { WorkerStatus } from '../../../operations/sagas/saga-status.ts';
import type { RunSummary } from '../../../operations/sagas/sagas.ts';
import type { AlertsView, AsJson, Overview, RunStory, RunTimeline, ShownAlert } from '../../server/contract.ts';

export type WireOverview = AsJson<Overview>;
export type WireMessage = AsJson<MessageSummary>;
export type WireMessageDetails = AsJson<MessageDetails>;
export type WireScheduled = AsJson<ScheduledDetails>;
export type WireParked = AsJson<ParkedSummary>;
export type WireParkedDetails = AsJson<ParkedDetails>;
export type WireRun = AsJson<RunSummary>;
export type WireRunPage = AsJson<RunStory>;
export type WireTimeline = AsJson<RunTimeline>;
export type WireWorker = AsJson<WorkerStatus>;
export type WireAlerts = AsJson<AlertsView>;
export type WireAlert = AsJson<ShownAlert>;
export type WireDiagnosis = AsJson<Diagnosis>;
