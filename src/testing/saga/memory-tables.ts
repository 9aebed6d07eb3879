/**
 * What the in-memory store of sagas keeps, and the only place that changes it: runs, journals, mail, workers, messages, as the tables
 * of migrations/0003_saga.sql. Values are kept as JSON text and parsed anew for every reader, so that nobody holds what is stored.
 */
import type { JournalEvent, JournalRow, RunStatus, UndoReason } from '../../saga/events.ts';
import type {
  Mail,
  MailBody,
  NewRun,
  RunCommit,
  RunUpdate,
  RunView,
  SagaVersion,
  StartRequest,
} from '../../saga/store.ts';

/** A run as it is stored. Replaced as a whole, never changed. */
export interface StoredRun extends SagaVersion {
  readonly id: string;
  readonly key: string | null;
  readonly status: RunStatus;
  readonly reason: UndoReason | null;
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

export interface MemoryTables {
  readonly runs: ReadonlyMap<string, StoredRun>;
  readonly workers: ReadonlyMap<string, StoredWorker>;
  /** The id of the run with this saga and key. */
  runWithKey(saga: string, key: string): string | undefined;
  journalOf(runId: string): readonly JournalRow[];
  /** Oldest first. */
  mailOf(runId: string): readonly Mail[];
  /** Ids of the runs that have mail; whose mail is oldest comes first. */
  readonly addressed: readonly string[];
  /** All of `change`, or, when it throws, nothing of it. */
  atomically<T>(change: (write: MemoryWrites) => T): T;
}

export interface MemoryWrites {
  worker(worker: StoredWorker): void;
  forgetWorker(id: string): void;
  run(run: StoredRun): void;
  start(request: StartRequest, at: number): void;
  mail(runId: string, body: MailBody): void;
  /** What one run puts into a commit of the worker. Resolves its messages. */
  commit(worker: string, commit: RunCommit, at: number): readonly MemoryMessage[];
}

export function createMemoryTables(): MemoryTables {
  const runs = new Map<string, StoredRun>();
  const workers = new Map<string, StoredWorker>();
  const keys = new Map<string, string>();
  const journals = new Map<string, Map<number, { readonly at: number; readonly events: string }>>();
  const mail = new Map<string, Map<number, string>>();
  let mailSerial = 0;
  let undo: (() => void)[] = [];

  function put<K, V>(map: Map<K, V>, key: K, value: V | undefined): void {
    const before = map.get(key);
    undo.push(() => void (before === undefined ? map.delete(key) : map.set(key, before)));
    if (value === undefined) map.delete(key);
    else map.set(key, value);
  }

  function journal(runId: string, n: number, at: number, events: string): void {
    const rows = journals.get(runId) ?? new Map<number, { readonly at: number; readonly events: string }>();
    if (rows.has(n)) throw new Error(`The journal of run ${runId} has a row ${n} already.`);
    put(journals, runId, rows);
    put(rows, n, { at, events: storedJson(events) });
  }

  function insert(run: StoredRun): void {
    if (runs.has(run.id)) throw new Error(`There is a run ${run.id} already.`);
    put(runs, run.id, run);
    if (run.key !== null) put(keys, keyOf(run.saga, run.key), run.id);
  }

  function update(worker: string, runId: string, changed: RunUpdate, at: number): void {
    const run = runs.get(runId);
    if (run === undefined || run.worker !== worker) return;
    const { status, reason, pivoted, release, result, error } = changed;
    if (isFinished(run.status) && status !== run.status)
      throw new Error(`Run ${runId} is ${run.status} and cannot become ${status}: a finished run stays as it ended.`);
    put(runs, runId, {
      ...run,
      status,
      reason,
      pivoted,
      worker: release === null ? run.worker : null,
      wakeAt: release === null ? null : release.wakeAt,
      result: result === null ? run.result : storedJson(result),
      error: error === null ? run.error : storedJson(error),
      finishedAt: isFinished(status) ? (run.finishedAt ?? at) : null,
    });
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
    mail(runId, body) {
      const box = mail.get(runId) ?? new Map<number, string>();
      put(mail, runId, box);
      put(box, (mailSerial += 1), storedJson(JSON.stringify(body)));
    },
    commit(worker, commit, at) {
      const { runId } = commit;
      if (commit.start !== null) insert(newRun(commit.start, worker, at));
      if (commit.journal !== null) journal(runId, commit.journal.n, commit.journal.at, commit.journal.events);
      for (const child of commit.children) {
        insert(newRun(child, worker, at));
        journal(child.id, 0, commit.journal?.at ?? at, child.journal);
      }
      if (commit.update !== null) update(worker, runId, commit.update, at);
      for (const id of commit.mailDone) {
        for (const [owner, box] of mail) {
          if (!box.has(Number(id))) continue;
          put(box, Number(id), undefined);
          if (box.size === 0) put(mail, owner, undefined);
        }
      }
      for (const letter of commit.mail) writes.mail(letter.runId, letter.body);
      return commit.messages.map(parsedMessage);
    },
  };

  return {
    runs,
    workers,
    runWithKey: (saga, key) => keys.get(keyOf(saga, key)),
    journalOf: (runId) =>
      [...(journals.get(runId) ?? [])]
        .toSorted(([one], [other]) => one - other)
        .map(([n, row]) => ({ n, at: row.at, events: JSON.parse(row.events) as readonly JournalEvent[] })),
    mailOf: (runId) =>
      [...(mail.get(runId) ?? [])]
        .toSorted(([one], [other]) => one - other)
        .map(([id, body]) => ({ id: String(id), runId, body: JSON.parse(body) as MailBody })),
    get addressed() {
      const oldest = (box: ReadonlyMap<number, string>): number => Math.min(...box.keys());
      return [...mail].toSorted(([, one], [, other]) => oldest(one) - oldest(other)).map(([runId]) => runId);
    },
    atomically(change) {
      undo = [];
      try {
        return change(writes);
      } catch (error) {
        for (const back of undo.toReversed()) back();
        throw error;
      }
    },
  };
}

export function isFinished(status: RunStatus): boolean {
  return status === 'completed' || status === 'compensated';
}

export function viewOf(run: StoredRun): RunView {
  const { id, saga, version, key, status, reason, pivoted, startedAt, finishedAt } = run;
  const parsed = (text: string | null): unknown => (text === null ? null : JSON.parse(text));
  const [result, error] = [parsed(run.result), parsed(run.error)];
  return { id, saga, version, key, status, reason, pivoted, result, error, startedAt, finishedAt };
}

function newRun(run: NewRun, worker: string, at: number): StoredRun {
  const { id, saga, version, status, deadlineAt, parent, held } = run;
  const fresh = { key: null, reason: null, pivoted: false, lost: 0, result: null, error: null, finishedAt: null };
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

function parsedMessage(text: string): MemoryMessage {
  const { id, topic, key, payload, headers } = JSON.parse(text) as MemoryMessage;
  return { id, topic, key, payload, headers };
}

/**
 * As PostgreSQL's jsonb would give it back: shorter property names first, and no NUL. Code that hangs on the order of properties is to
 * fail in a test already.
 */
function storedJson(text: string): string {
  if (text.includes('\\u0000') && /(?<!\\)(?:\\\\)*\\u0000/.test(text))
    throw new Error('PostgreSQL cannot store U+0000 in JSON.');
  return JSON.stringify(sorted(JSON.parse(text)));
}

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(sorted);
  const entries = Object.entries(value)
    .map(([name, inner]) => ({ name, bytes: Buffer.from(name), inner: sorted(inner) }))
    .toSorted((one, other) => one.bytes.length - other.bytes.length || Buffer.compare(one.bytes, other.bytes));
  return Object.fromEntries(entries.map(({ name, inner }) => [name, inner]));
}
