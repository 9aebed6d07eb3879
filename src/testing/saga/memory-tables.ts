/**
 * What the in-memory store of sagas keeps, and the only place that changes it: runs, journals, run messages, workers, messages, as the tables
 * of migrations/0003_saga.sql. Values are kept as JSON text and parsed anew for every reader, so that nobody holds what is stored.
 */
import { HoldfastError } from '../../errors.ts';
import { skippedOf } from '../../saga/journal/end-error.ts';
import type { JournalEvent, JournalRow, RunStatus, CompensationReason } from '../../saga/journal/events.ts';
import type { RefusedAct } from '../../saga/journal/refused.ts';
import type {
  KeptSignals,
  RunMessage,
  RunMessageBody,
  NewRun,
  RunCommit,
  RunUpdate,
  RunView,
  SagaVersion,
  StartRequest,
} from '../../saga/store/store.ts';

/** A run as it is stored. Replaced as a whole, never changed. */
export interface StoredRun extends SagaVersion {
  readonly id: string;
  readonly key: string | null;
  readonly status: RunStatus;
  readonly reason: CompensationReason | null;
  readonly pivoted: boolean;
  readonly worker: string | null;
  readonly claims: number;
  readonly lost: number;
  readonly wakeAt: number | null;
  readonly deadlineAt: number | null;
  readonly parent: { readonly id: string; readonly call: string } | null;
  /** JSON text. */
  readonly result: string | null;
  /** JSON text. */
  readonly error: string | null;
  readonly startedAt: number;
  readonly finishedAt: number | null;
  readonly growth: number;
  readonly signals: KeptSignals;
  readonly refused: readonly RefusedAct[];
}

export interface StoredWorker {
  readonly id: string;
  readonly name: string;
  readonly sagas: readonly SagaVersion[];
  readonly leaseUntil: number;
}

/** A message that a commit put into the outbox. */
export interface MemoryMessage {
  readonly id: string;
  readonly topic: string;
  readonly key: string | null;
  readonly payload: unknown;
  readonly headers: Readonly<Record<string, unknown>>;
}

/** a run message; the body is JSON text. */
interface Letter {
  readonly at: number;
  readonly body: string;
}

export interface MemoryTables {
  readonly runs: ReadonlyMap<string, StoredRun>;
  readonly workers: ReadonlyMap<string, StoredWorker>;
  /** The id of the run with this saga and key. */
  runWithKey(saga: string, key: string): string | undefined;
  journalOf(runId: string): readonly JournalRow[];
  /** Oldest first. */
  runMessagesOf(runId: string): readonly RunMessage[];
  /** Ids of the runs that have messages; whose messages are the oldest come first. */
  readonly addressed: readonly string[];
  /** All of `change`, or, when it throws, nothing of it. */
  atomically<T>(change: (write: MemoryWrites) => T): T;
}

export interface MemoryWrites {
  worker(worker: StoredWorker): void;
  forgetWorker(id: string): void;
  run(run: StoredRun): void;
  start(request: StartRequest, at: number): void;
  postRunMessage(runId: string, body: RunMessageBody, at: number): void;
  /** What some runs put into one commit of the worker. Returns their messages. */
  commit(worker: string, commits: readonly RunCommit[], at: number): readonly MemoryMessage[];
}

export function createMemoryTables(): MemoryTables {
  const runs = new Map<string, StoredRun>();
  const workers = new Map<string, StoredWorker>();
  const keys = new Map<string, string>();
  const journals = new Map<string, Map<number, { readonly at: number; readonly events: string }>>();
  const runMessages = new Map<string, Map<number, Letter>>();
  const sent = new Map<string, true>();
  let runMessageSerial = 0;
  let compensation: (() => void)[] = [];

  function put<K, V>(map: Map<K, V>, key: K, value: V | undefined): void {
    const before = map.get(key);
    compensation.push(() => void (before === undefined ? map.delete(key) : map.set(key, before)));
    if (value === undefined) map.delete(key);
    else map.set(key, value);
  }

  function journal(runId: string, n: number, at: number, events: string): void {
    const rows = journals.get(runId) ?? new Map<number, { readonly at: number; readonly events: string }>();
    if (rows.has(n)) throw new Error(`The journal of run ${runId} has a row ${n} already.`);
    put(journals, runId, rows);
    put(rows, n, { at, events: storedJson(events) });
  }

  function goesForward(status: RunStatus): boolean {
    return status !== 'compensating' && status !== 'compensated' && status !== 'stuck';
  }

  function insert(run: StoredRun): void {
    if (runs.has(run.id)) throw new Error(`There is a run ${run.id} already.`);
    put(runs, run.id, run);
    if (run.key !== null) put(keys, keyOf(run.saga, run.key), run.id);
  }

  function update(worker: string, runId: string, changed: RunUpdate, at: number): void {
    const run = runs.get(runId);
    if (run === undefined || run.worker !== worker)
      throw new HoldfastError('HF_LEASE_LOST', `The worker does not hold run ${runId}, which it wants to change.`);
    const { status, reason, pivoted, release, result, error, folded = [], growth, signals, refused } = changed;
    const rows = journals.get(runId);
    if (rows !== undefined) for (const n of folded) put(rows, n, undefined);
    if (isFinished(run.status) && status !== run.status)
      throw new HoldfastError('HF_SAGA_FINISHED', `Run ${runId} is ${run.status} and cannot become ${status}.`);
    put(runs, runId, {
      ...run,
      status,
      reason,
      pivoted,
      // A run that ends is released in any case.
      worker: release === null && !isFinished(status) ? run.worker : null,
      wakeAt: release === null ? null : release.wakeAt,
      result: result === null ? run.result : storedJson(result),
      error: error !== null ? storedJson(error) : goesForward(status) ? null : run.error,
      finishedAt: isFinished(status) ? (run.finishedAt ?? at) : null,
      growth: growth ?? run.growth,
      signals: signals ?? run.signals,
      refused: refused ?? run.refused,
    });
  }

  function takeIn(id: number): void {
    for (const [owner, box] of runMessages) {
      if (!box.has(id)) continue;
      put(box, id, undefined);
      if (box.size === 0) put(runMessages, owner, undefined);
    }
  }

  function send(text: string): MemoryMessage {
    const { id, topic, key, payload, headers } = JSON.parse(text) as MemoryMessage;
    if (sent.has(id))
      throw new HoldfastError('HF_MESSAGE_DUPLICATE', `A message with the id ${id} is in the outbox already.`);
    put(sent, id, true);
    return { id, topic, key, payload, headers };
  }

  const writes: MemoryWrites = {
    worker: (worker) => put(workers, worker.id, worker),
    forgetWorker: (id) => put(workers, id, undefined),
    run: (run) => put(runs, run.id, run),
    start(request, at) {
      const deadlineAt = request.deadlineMs === null ? null : at + request.deadlineMs;
      insert({
        ...newRun({ ...request, held: false, status: 'pending', deadlineAt, parent: null }, '', at),
        key: request.key,
      });
      const input: unknown = JSON.parse(request.input);
      const started: JournalEvent = {
        t: 'started',
        input,
        ...(deadlineAt === null ? {} : { deadlineAt: Math.floor(deadlineAt) }),
      };
      journal(request.id, 0, at, JSON.stringify([started]));
    },
    postRunMessage(runId, body, at) {
      // What is for no run is dropped.
      if (!runs.has(runId)) return;
      const box = runMessages.get(runId) ?? new Map<number, Letter>();
      put(runMessages, runId, box);
      put(box, (runMessageSerial += 1), { at: Math.floor(at), body: storedJson(JSON.stringify(body)) });
    },
    commit(worker, commits, at) {
      for (const { start, children, journal: row } of commits) {
        if (start !== null) insert(newRun(start, worker, at));
        for (const child of children) {
          insert(newRun(child, worker, at));
          journal(child.id, 0, row?.at ?? at, child.journal);
        }
      }
      for (const commit of commits) {
        if (commit.journal !== null) journal(commit.runId, commit.journal.n, commit.journal.at, commit.journal.events);
        if (commit.update !== null) update(worker, commit.runId, commit.update, at);
        for (const id of commit.runMessagesDone) takeIn(Number(id));
      }
      for (const letter of commits.flatMap((commit) => commit.runMessages))
        writes.postRunMessage(letter.runId, letter.body, at);
      return commits.flatMap((commit) => commit.messages).map(send);
    },
  };

  return {
    runs,
    workers,
    runWithKey: (saga, key) => keys.get(keyOf(saga, key)),
    journalOf: (runId) =>
      [...(journals.get(runId) ?? [])]
        .toSorted(([one], [other]) => one - other)
        .map(([n, row]) => ({
          n,
          at: row.at,
          events: JSON.parse(row.events) as readonly JournalEvent[],
          bytes: row.events.length,
        })),
    runMessagesOf: (runId) =>
      [...(runMessages.get(runId) ?? [])]
        .toSorted(([one], [other]) => one - other)
        .map(([id, { at, body }]) => ({
          id: String(id),
          runId,
          at,
          body: JSON.parse(body) as RunMessageBody,
          bytes: body.length,
        })),
    get addressed() {
      const oldest = (box: ReadonlyMap<number, Letter>): number => Math.min(...box.keys());
      return [...runMessages].toSorted(([, one], [, other]) => oldest(one) - oldest(other)).map(([runId]) => runId);
    },
    atomically(change) {
      compensation = [];
      try {
        return change(writes);
      } catch (error) {
        for (const back of compensation.toReversed()) back();
        throw error;
      }
    },
  };
}

export function isFinished(status: RunStatus): boolean {
  return status === 'completed' || status === 'compensated';
}

export function viewOf(run: StoredRun): RunView {
  const { id, saga, version, key, status, reason, pivoted, startedAt, finishedAt, growth, refused } = run;
  const parsed = (text: string | null): unknown => (text === null ? null : JSON.parse(text));
  const [result, error] = [parsed(run.result), parsed(run.error)];
  return {
    id,
    saga,
    version,
    key,
    status,
    reason,
    pivoted,
    result,
    error,
    startedAt,
    finishedAt,
    growth,
    skipped: skippedOf(error),
    refused: [...refused],
  };
}

function newRun(run: NewRun, worker: string, at: number): StoredRun {
  const { id, saga, version, status, deadlineAt, parent, held } = run;
  const fresh = {
    key: null,
    reason: null,
    pivoted: false,
    lost: 0,
    result: null,
    error: null,
    finishedAt: isFinished(run.status) ? at : null,
    growth: 0,
    signals: { count: 0, bytes: 0 },
    refused: [],
  };
  return {
    ...fresh,
    ...(held ? { worker, claims: 1, wakeAt: null } : { worker: null, claims: 0, wakeAt: at }),
    id,
    saga,
    version,
    status,
    deadlineAt,
    parent: parent === null ? null : { ...parent },
    startedAt: at,
  };
}

function keyOf(saga: string, key: string): string {
  return `${saga}\n${key}`;
}

/** Refuses what is no JSON, as the database would. */
function storedJson(text: string): string {
  JSON.parse(text);
  return text;
}
