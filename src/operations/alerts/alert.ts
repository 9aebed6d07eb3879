/**
 * What an alert is: its kind, what it is about, and what is told of it. One alert stands for everything of one kind and subject; how
 * many of them there are is its count.
 */

/** What is looked at together, with the same rights: see docs/roles.md. */
export type AlertArea = 'relay' | 'consumers' | 'sagas';

/** What can be wrong. docs/operations.md has a line for each. */
export type AlertKind =
  | 'late'
  | 'unserved'
  | 'relay-dies'
  | 'breaker-open'
  | 'relay-dead-letter'
  | 'consumer-dead-letter'
  | 'stuck'
  | 'unrunnable'
  | 'overdue'
  | 'worker-dead'
  | 'lease-lost'
  | 'step-breaker-open'
  | 'database-silent';

/** What is wrong now, before it is known for how long and whether somebody was told. */
export interface Condition {
  readonly kind: AlertKind;
  /** A subscription, a consumer, a saga, a saga and version, a worker, a process, a breaker of one. */
  readonly subject: string;
  /** Messages, runs, shards: what the kind counts. At least 1. */
  readonly count: number;
  /** One sentence. Never a payload. */
  readonly summary: string;
  /** What to do, in one sentence. */
  readonly advice: string;
}

/** What hook, webhook and log are told. */
export interface AlertNotice {
  /** Of this notice. The same when it is sent again: what it takes to recognise one that came twice. */
  readonly id: string;
  readonly status: 'firing' | 'resolved' | 'test';
  readonly kind: AlertKind | 'test';
  readonly subject: string;
  /** How many there are: stuck runs, dead letters, shards. When it is resolved: how many there were last. */
  readonly count: number;
  /** Since when it has been so, ISO 8601. */
  readonly since: string;
  /** When this was decided, ISO 8601. Of two notices about the same kind and subject the later one counts. */
  readonly at: string;
  /** It was told before, and goes on or has grown. */
  readonly again: boolean;
  readonly summary: string;
  readonly advice: string;
}

interface KindSettings {
  /** Null: seen by each process for itself. */
  readonly area: AlertArea | null;
  /** How long it must have been so before it is told, in milliseconds. */
  readonly forMs: number;
  /** Counts things that wait for a person: more of them is news. */
  readonly grows: boolean;
  /** Beyond what age it counts, in milliseconds, where it is about an age. */
  readonly overMs?: number;
}

/** Every kind with its defaults. */
export const ALERT_KINDS: Readonly<Record<AlertKind, KindSettings>> = {
  late: { area: 'relay', forMs: 120_000, grows: false, overMs: 60_000 },
  unserved: { area: 'relay', forMs: 60_000, grows: false },
  'relay-dies': { area: 'relay', forMs: 0, grows: false },
  'breaker-open': { area: 'relay', forMs: 120_000, grows: false },
  'relay-dead-letter': { area: 'relay', forMs: 0, grows: true },
  'consumer-dead-letter': { area: 'consumers', forMs: 0, grows: true },
  stuck: { area: 'sagas', forMs: 0, grows: true },
  unrunnable: { area: 'sagas', forMs: 120_000, grows: false },
  overdue: { area: 'sagas', forMs: 120_000, grows: false, overMs: 60_000 },
  'worker-dead': { area: 'sagas', forMs: 60_000, grows: false },
  'lease-lost': { area: null, forMs: 0, grows: false },
  'step-breaker-open': { area: null, forMs: 120_000, grows: false },
  'database-silent': { area: null, forMs: 30_000, grows: false },
};

export const ALERT_AREAS: readonly AlertArea[] = ['relay', 'consumers', 'sagas'];
