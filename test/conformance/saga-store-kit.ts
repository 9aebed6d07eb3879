/**
 * What a store of sagas brings to the suite of test/conformance/saga-store.ts, and short ways to write down commits.
 */
import { randomUUID } from 'node:crypto';
import type { JournalEvent } from '../../src/saga/journal/events.ts';
import type {
  ClientStore,
  NewRun,
  RunCommit,
  RunUpdate,
  RunView,
  SagaVersion,
  StartRequest,
  WorkerStore,
} from '../../src/saga/store/store.ts';

/** One place where runs are kept, empty at first. */
export interface SagaStores<Tx> {
  /** Two ways to the same runs, as two processes have them. May be the same object where there are no processes. */
  readonly worker: WorkerStore;
  readonly other: WorkerStore;
  readonly client: ClientStore<Tx>;
  /** Lets the lease of a worker end, as if it had not renewed it, and of no other one. */
  expire(workerId: string): Promise<void>;
  /** A transaction of somebody else: what is done with its handle is kept if `fn` resolves, and lost if it rejects. */
  transaction<T>(fn: (tx: Tx) => Promise<T>): Promise<T>;
  /** A handle that is in no transaction; null when the store has none. */
  readonly outside: Tx | null;
  /** Ids of all outbox messages that were committed. */
  messages(): Promise<readonly string[]>;
  /** How much mail is stored for a run. */
  mailCount(runId: string): Promise<number>;
  dispose(): Promise<void>;
}

export interface SagaStoreKit<Tx> {
  readonly name: string;
  /** Called once for the whole suite; each test uses sagas of its own. */
  create(): Promise<SagaStores<Tx>>;
}

export const LEASE_MS = 60_000;

/** A saga that no other test has. */
export function uniqueSaga(version = 1): SagaVersion {
  return { saga: `saga-${randomUUID().slice(0, 13)}`, version };
}

/** A commit that does nothing but what is given. */
export function commitOf(runId: string, parts: Partial<Omit<RunCommit, 'runId'>> = {}): RunCommit {
  return {
    runId,
    start: null,
    journal: null,
    update: null,
    runMessagesDone: [],
    runMessages: [],
    children: [],
    messages: [],
    ...parts,
  };
}

export function journalRow(
  n: number,
  events: readonly JournalEvent[] = [{ t: 'undone' }],
  at = 1_700_000_000_000,
): RunCommit['journal'] {
  return { n, at, events: JSON.stringify(events) };
}

export function update(status: RunUpdate['status'], parts: Partial<Omit<RunUpdate, 'status'>> = {}): RunUpdate {
  return { status, reason: null, pivoted: false, release: null, result: null, error: null, ...parts };
}

export function newRun(of: SagaVersion, parts: Partial<NewRun> = {}): NewRun {
  return { ...of, id: randomUUID(), held: true, status: 'running', deadlineAt: null, parent: null, ...parts };
}

/** The first commit of a run that the worker keeps. */
export function startOf(of: SagaVersion, parts: Partial<NewRun> = {}, input: unknown = {}): RunCommit {
  const start = newRun(of, parts);
  return commitOf(start.id, { start, journal: journalRow(0, [{ t: 'started', input }]) });
}

/** The JSON text of an outbox message. */
export function messageText(id: string, topic = 'note.taken'): string {
  return JSON.stringify({ id, topic, key: null, lane: 1, payload: { n: 1 }, headers: {} });
}

export function requestOf(saga: SagaVersion, parts: Partial<StartRequest> = {}): StartRequest {
  return { ...saga, id: randomUUID(), key: null, input: '{"n":1}', deadlineMs: null, ...parts };
}

/** What the parts of the suite share. */
export interface SagaStoreBench<Tx> {
  readonly stores: SagaStores<Tx>;
  /** A new worker. */
  registered(sagas: readonly SagaVersion[]): Promise<string>;
  /** A run that the worker holds, started by it. */
  held(worker: string, saga: SagaVersion): Promise<string>;
  view(id: string): Promise<RunView | undefined>;
}
