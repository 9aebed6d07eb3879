/**
 * What the page of the dashboard and its server say to each other, as types: what /api answers beside what operations return. The page
 * imports nothing else of the server.
 */
import type { AlertsNow, AlertSummary } from '../../operations/alerts/list-alerts.ts';
import type { JobAct } from '../../operations/jobs/job.ts';
import type { Findings } from '../../operations/path/find-anything.ts';
import type { MessagePath } from '../../operations/path/path-model.ts';
import type { PageEnds } from '../../operations/reads/page-walk.ts';
import type { RelayStatus } from '../../operations/relay/relay-status.ts';
import type { Timeline } from '../../operations/sagas/saga-timeline-model.ts';
import type { StuckAdvice } from '../../operations/sagas/saga-advice.ts';
import type { RunDetails } from '../../operations/sagas/sagas.ts';
import type { SagaStatus } from '../../operations/sagas/saga-status.ts';

/** What somebody may do: a viewer looks, an operator acts on messages and runs, an admin also removes what others rely on. */
export type DashboardRole = 'viewer' | 'operator' | 'admin';

/** As JSON brings it: times are ISO texts. */
export type AsJson<T> = T extends Date
  ? string
  : T extends readonly (infer Item)[]
    ? readonly AsJson<Item>[]
    : T extends object
      ? { readonly [Key in keyof T]: AsJson<T[Key]> }
      : T;

/** GET /api/session: who is asking, and what the page must know to begin with. */
export interface SessionFacts {
  /** As it stands in the audit, without the prefix `dashboard:`. */
  readonly actor: string;
  readonly role: DashboardRole;
  /** Whether there is something to log out of. */
  readonly canLogout: boolean;
  /** To be sent, with the value 1, on every request that is no GET. */
  readonly csrfHeader: string;
  /** Of the package. */
  readonly version: string;
  /** Of the tables; of several databases, that of the first. */
  readonly schema: string;
  /** In their order. Of one alone, routes need not say which. */
  readonly databases: readonly { readonly name: string; readonly schema: string }[];
  /** Payloads are hidden until they are revealed, which the audit records. */
  readonly redact: boolean;
  /** May search by what payloads, inputs and headers hold. */
  readonly searchesValues: boolean;
}

/** Every answer that is no success. Match on `code`. */
export interface ApiFailure {
  readonly code: string;
  readonly message: string;
  readonly advice: string | null;
}

/** Of a 401: what would help. */
export interface LoginNeeded extends ApiFailure {
  /** There is a form to log in by: POST /login with `token`. */
  readonly form: boolean;
  /** An identity provider can be asked: GET /login/sso, with the address of the page as `to`. What it is called; null: none. */
  readonly signOn: string | null;
}

/** A page of a list. `next`: what to give as `cursor` for the page after it; null: that was the last. */
export interface ListPage<Item> {
  readonly items: readonly Item[];
  readonly next: string | null;
}

/** A page of a list that is looked through for a bounded time: `looked` says how far. `next` goes on from there, also before it is full. */
export interface LookedPage<Item> extends ListPage<Item> {
  readonly looked: Pick<PageEnds['looked'], 'rows' | 'complete'>;
}

/**
 * A page of a list that is searched, newest first. `older`, `newer`: what to give as `cursor` for the page behind it and before it; null: there
 * is none. `looked`: how far it looked, since what no index serves is looked through for a bounded time.
 */
export interface SearchedPage<Item> extends PageEnds {
  readonly items: readonly Item[];
}

/** One point of the charts. Rates are since the point before; null when that is not known. */
export interface OverviewPoint {
  readonly at: Date;
  /** Messages a second that the subscriptions published, all together. */
  readonly published: number | null;
  /** Messages a second that services wrote. */
  readonly written: number | null;
  /** Of the subscription that is furthest behind: messages, at most. */
  readonly lag: number;
  /** Of the oldest message that a subscription has not read; 0: none. */
  readonly oldestMs: number;
  /** Parked by relays and consumers. */
  readonly parked: number;
  /** Runs that could be taken up now, and runs that need a person; null for a role that may not read sagas. */
  readonly runs: { readonly due: number; readonly stuck: number } | null;
}

/** GET /api/overview, and the event `overview` of /api/live. */
export interface Overview {
  readonly at: Date;
  readonly relay: RelayStatus;
  /** Null for a role of the database that may not read sagas. `counts` may be some seconds older than the rest. */
  readonly sagas: SagaStatus | null;
  /** Oldest first, at most a quarter of an hour; the last point is that of now. Only what was seen while somebody looked. */
  readonly history: readonly OverviewPoint[];
  /** How old the oldest unpublished message of each subscription may be. */
  readonly objectives: readonly { readonly subscription: string; readonly objectiveMs: number }[];
  /** Null for a role of the database that may not read alerts. */
  readonly alerts: AlertsView | null;
  /** Acts on many that have not ended, the newest 20. Null for a role of the database that may not read them. */
  readonly jobs: readonly OpenJob[] | null;
}

/** What one of several databases answered, or why it did not. One of both is null. */
export interface AnswerOf<T> {
  readonly database: string;
  readonly answer: T | null;
  readonly failure: ApiFailure | null;
}

/** GET /api/all/overview; each item is the event `overview` of /api/all/live, whenever it is read anew. Of the history, the last point. */
export interface AllOverviews {
  readonly items: readonly AnswerOf<Overview>[];
}

/** GET /api/all/find. */
export interface AllFindings {
  readonly text: string;
  readonly items: readonly AnswerOf<Findings>[];
}

/** GET /api/all/messages/:id/path: each thing says in which database it is. */
export interface WholePath extends MessagePath {
  /** Databases that did not answer: what they know is missing. */
  readonly silent: readonly { readonly database: string; readonly failure: ApiFailure }[];
}

/** How far an open job is. */
export interface OpenJob {
  readonly id: string;
  readonly kind: JobAct['kind'];
  readonly done: number;
  /** Null: they were not counted to the end. */
  readonly planned: number | null;
  /** Together. */
  readonly passedOver: number;
  readonly failed: number;
  /** Null: nobody works on it. */
  readonly runner: string | null;
}

/** GET /api/alerts: what is alerting, and what was told of it. */
export interface AlertsView {
  /** Worst first. */
  readonly items: readonly ShownAlert[];
  /** When each area was last looked at, and by which process; null: never. */
  readonly watched: AlertsNow['watched'];
  /** Whom the processes that watch tell, as far as the dashboard was told; null: it was not. */
  readonly tells: readonly AlertChannel[] | null;
}

/** One alert of {@link AlertsView}. */
export interface ShownAlert extends AlertSummary {
  /** For how long it is not told again that it fires; null: it may be at any time. */
  readonly quietForMs: number | null;
}

/** A way in which alerts are told. */
export type AlertChannel = 'log' | 'hook' | 'webhook';

/** GET /api/runs/:id. */
export interface RunStory extends Omit<RunDetails, 'journal'> {
  readonly timeline: RunTimeline;
}

/** A run as a story, with the ways out of what it is stuck at. */
export type RunTimeline = Omit<Timeline, 'stuck'> & {
  readonly stuck: (NonNullable<Timeline['stuck']> & { readonly advice: StuckAdvice }) | null;
};

/** What stands where a payload is hidden. */
export interface HiddenPayload {
  readonly hidden: true;
}

/** Every act answers with the command that does the same. */
export interface DoneByCommand {
  readonly command: string;
}

/** GET /api/sagas: a saga as its code declares it. */
export interface DeclaredSaga {
  readonly name: string;
  readonly version: number;
  readonly deadlineMs: number | null;
  /** Most runs at once in one worker; null: as many as the worker has. */
  readonly concurrency: number | null;
  readonly steps: readonly DeclaredStep[];
  readonly signals: readonly string[];
}

/** How often and for how long a step is tried. Times in milliseconds; null: without an end. */
export interface StepBudget {
  readonly attempts: number | null;
  /** From the first attempt on. */
  readonly withinMs: number | null;
  /** Of one attempt. */
  readonly timeoutMs: number | null;
}

/** One step of a {@link DeclaredSaga}, in the order in which it was written down. */
export interface DeclaredStep {
  readonly name: string;
  readonly kind: string;
  readonly pivot: boolean;
  /** Something compensates it. */
  readonly compensated: boolean;
  /** Of a command or an emitted message: its topic. */
  readonly topic: string | null;
  /** Of a child: its saga, as 'charge-card@1'. */
  readonly child: string | null;
  readonly budget: StepBudget;
}
