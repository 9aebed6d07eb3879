/**
 * Runs kept in memory: the ports of src/saga/store/store.ts for tests, on a clock of the test's choice. Part of the public test kit
 * (`holdfast/testing`); passes the same conformance suite as the PostgreSQL store. Nothing outlives the process.
 */
import type { PoolClient } from 'pg';
import { HoldfastError } from '../../errors.ts';
import { systemClock, type Clock } from '../../runtime/clock.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import type {
  ClaimedRun,
  ClaimCapacity,
  ClientStore,
  RunMessage,
  RunCommit,
  RunView,
  SagaVersion,
  WorkerStore,
} from '../../saga/store/store.ts';
import type { JournalRow } from '../../saga/journal/events.ts';
import { GroupCommitError, RevokedError } from '../../saga/store/commit-error.ts';
import { createMemoryTables, isFinished, viewOf, type MemoryMessage, type StoredRun } from './memory-tables.ts';
import { createMemoryTransactions, type MemoryTx } from './memory-transactions.ts';

export interface MemorySagaStoreOptions {
  /** Default: the system's. Leases and due times are decided on it. */
  readonly clock?: Clock | undefined;
  /**
   * Makes the `tx` that transaction steps are given, one for each attempt. Without it, whatever a step does with its `tx` throws an
   * error that says so.
   */
  readonly transaction?: (() => unknown) | undefined;
  /** Told how such a transaction ended, within the commit itself: make its effects here, or forget them. */
  readonly endTransaction?: ((tx: unknown, outcome: 'commit' | 'rollback') => void) | undefined;
  /** Told of each message after the commit it was in, in order, in a microtask of its own. */
  readonly onMessage?: ((message: MemoryMessage) => void) | undefined;
}

/** A run with all that is known of it. */
export interface MemoryRun extends RunView {
  readonly worker: string | null;
  readonly claims: number;
  readonly lost: number;
  readonly wakeAt: number | null;
  readonly deadlineAt: number | null;
  readonly parent: { readonly id: string; readonly call: string } | null;
  readonly journal: readonly JournalRow[];
  readonly runMessages: readonly RunMessage[];
}

export interface MemorySnapshot {
  /** In the order in which they were started. */
  readonly runs: readonly MemoryRun[];
  readonly workers: readonly { readonly id: string; readonly name: string; readonly leaseUntil: number }[];
}

/** What a test may do with the store of its runs. */
export interface TestStore {
  /** Opens a transaction for `start`, `signal` and `cancel`. End it with its `commit()` or `rollback()`. */
  begin(): MemoryTx;
  /** `begin`, `fn`, and `commit`; `rollback` when `fn` rejects. */
  inTransaction<T>(fn: (tx: MemoryTx) => Promise<T>): Promise<T>;
}

export interface MemorySagaStore extends WorkerStore, ClientStore<MemoryTx>, TestStore {
  /** Outbox messages of all commits, oldest first. */
  readonly messages: readonly MemoryMessage[];
  /** All runs without their journals, in the order in which they were started. */
  readonly views: readonly RunView[];
  /** Copies of everything, as it is now. */
  snapshot(): MemorySnapshot;
  /** Resolves at the next change that a worker or a client could care for: a commit, a start, mail, freed runs. */
  whenChanged(): Promise<void>;
  /** Calls `listener` after each such change, until the function it returns is called. */
  onChange(listener: () => void): () => void;
}

export function createMemorySagaStore(options: MemorySagaStoreOptions = {}): MemorySagaStore {
  refuseUnknownOptions(options, ['clock', 'transaction', 'endTransaction', 'onMessage'], 'createMemorySagaStore');
  const { clock = systemClock, transaction = noTransaction, endTransaction, onMessage } = options;
  const tables = createMemoryTables();
  const messages: MemoryMessage[] = [];
  const listeners = new Set<() => void>();
  const changed = (): void => {
    for (const listener of listeners) listener();
  };
  const transactions = createMemoryTransactions(tables, () => clock.now(), changed);

  /** The fence. */
  function holdLease(workerId: string): void {
    const worker = tables.workers.get(workerId);
    if (worker !== undefined && worker.leaseUntil > clock.now()) return;
    throw new HoldfastError('HF_LEASE_LOST', `The lease of worker ${workerId} is over.`, {
      advice: 'Its runs go on in another worker.',
    });
  }

  /** All of it, with `last` as its last act, or nothing. */
  function write(workerId: string, runs: readonly RunCommit[], last: () => void = () => {}): void {
    holdLease(workerId);
    const isUnwanted = ({ runId, update, runMessagesDone }: RunCommit): boolean =>
      update?.guarded === true &&
      tables
        .runMessagesOf(runId)
        .some(({ id, body }) => (body.kind === 'cancel' || body.kind === 'undo') && !runMessagesDone.includes(id));
    if (runs.some(isUnwanted)) throw new RevokedError();
    const written = tables.atomically((writes) => {
      const sent = writes.commit(workerId, runs, clock.now());
      last();
      return sent;
    });
    messages.push(...written);
    if (onMessage !== undefined) for (const message of written) queueMicrotask(() => onMessage(copyOf(message)));
    changed();
  }

  /** Run by run, so that what is refused of one does not hold up the others. */
  function writeEach(workerId: string, runs: readonly RunCommit[]): void {
    const failures = new Map<string, Error>();
    for (const run of runs) {
      try {
        write(workerId, [run]);
      } catch (error) {
        failures.set(run.runId, error instanceof Error ? error : new Error(String(error)));
      }
    }
    if (failures.size > 0) throw new GroupCommitError(failures);
  }

  function claim(workerId: string, run: StoredRun): ClaimedRun {
    const claimed: StoredRun = { ...run, worker: workerId, claims: run.claims + 1, wakeAt: null };
    tables.atomically((writes) => writes.run(claimed));
    const { id, saga, version, status, reason, pivoted, claims, lost, deadlineAt, parent } = claimed;
    const [journal, runMessages] = [tables.journalOf(id), tables.runMessagesOf(id)];
    return { id, saga, version, status, reason, pivoted, claims, lost, deadlineAt, parent, journal, runMessages };
  }

  /** As many as there is room for in memory, and one at least. */
  function fitting<R extends StoredRun>(runs: readonly R[], room: ClaimCapacity | undefined): readonly R[] {
    let bytes = 0;
    return runs.filter(({ id }, index) => {
      for (const each of [...tables.journalOf(id), ...tables.runMessagesOf(id)]) bytes += each.bytes ?? 0;
      return index === 0 || bytes <= (room?.bytes ?? Infinity);
    });
  }

  /** Runs that nobody holds and that have a time at which to be taken up, the earliest first. */
  function sleepers(of: SagaVersion): readonly (StoredRun & { readonly wakeAt: number })[] {
    return [...tables.runs.values()]
      .filter((run) => run.worker === null && run.wakeAt !== null && isOf(run, of))
      .map((run) => ({ ...run, wakeAt: run.wakeAt ?? 0 }))
      .toSorted((one, other) => one.wakeAt - other.wakeAt);
  }

  /** Ends a worker. Its runs are due at once. */
  function free(workerId: string, lost: 0 | 1): number {
    const held = [...tables.runs.values()].filter((run) => run.worker === workerId);
    const unfinished = held.filter((run) => !isFinished(run.status));
    tables.atomically((writes) => {
      for (const run of held) writes.run({ ...run, worker: null });
      for (const run of unfinished) writes.run({ ...run, worker: null, lost: run.lost + lost, wakeAt: clock.now() });
      writes.forgetWorker(workerId);
    });
    return unfinished.length;
  }

  return {
    async register({ id, name, sagas, leaseMs }) {
      if (tables.workers.has(id)) throw new Error(`There is a worker ${id} already.`);
      const leaseUntil = clock.now() + leaseMs;
      tables.atomically((writes) => writes.worker({ id, name, sagas: copyOf(sagas), leaseUntil }));
      return clock.now();
    },
    async renew(workerId, leaseMs) {
      holdLease(workerId);
      const worker = tables.workers.get(workerId);
      if (worker !== undefined)
        tables.atomically((writes) => writes.worker({ ...worker, leaseUntil: clock.now() + leaseMs }));
      return clock.now();
    },
    /** One code a version: there is nobody with another one. */
    offeredElsewhere: async () => false,
    async goesOn(runId) {
      const run = tables.runs.get(runId);
      if (run === undefined || run.finishedAt !== null) return true;
      const live = [...tables.workers.values()].filter((worker) => worker.leaseUntil > clock.now());
      return live.some(({ sagas }) => sagas.some((of) => isOf(run, of)));
    },
    async takeOver() {
      const over = [...tables.workers.values()].filter((worker) => worker.leaseUntil <= clock.now());
      const runs = over.reduce((sum, worker) => sum + free(worker.id, 1), 0);
      if (over.length > 0) changed();
      return { workers: over.length, runs };
    },
    async retire(workerId) {
      if (!tables.workers.has(workerId)) return;
      free(workerId, 0);
      changed();
    },
    async held(workerId) {
      return [...tables.runs.values()].filter((run) => run.worker === workerId).map(({ id }) => id);
    },
    async letGo(workerId, runIds, delayMs) {
      const wakeAt = clock.now() + delayMs;
      tables.atomically((writes) => {
        for (const run of runIds.flatMap((id) => tables.runs.get(id) ?? []))
          if (run.worker === workerId)
            writes.run({ ...run, worker: null, wakeAt: isFinished(run.status) ? run.wakeAt : wakeAt });
      });
      changed();
    },
    async claim(workerId, wanted, room) {
      holdLease(workerId);
      const due = wanted
        .flatMap((of) => sleepers(of).slice(0, of.limit))
        .filter((run) => run.wakeAt <= clock.now())
        .toSorted((one, other) => one.wakeAt - other.wakeAt);
      return fitting(due, room).map((run) => claim(workerId, run));
    },
    async collect(workerId, { sagas, limit, taken, room, runMessageBytes = Infinity, due = [] }) {
      holdLease(workerId);
      const seen = new Set(taken);
      const wanted = (run: SagaVersion): boolean => sagas.some((of) => isOf(run, of));
      const addressed = tables.addressed.flatMap((id) => tables.runs.get(id) ?? []);
      const runMessages = addressed
        .filter((run) => run.worker === workerId && wanted(run))
        .flatMap((run) => tables.runMessagesOf(run.id))
        .filter((letter) => !seen.has(letter.id))
        .toSorted((one, other) => Number(one.id) - Number(other.id));
      const claimed = fitting(addressed.filter((run) => run.worker === null && wanted(run)).slice(0, limit), room).map(
        (run) => claim(workerId, run),
      );
      const some = upTo(runMessageBytes, runMessages);
      const left = new Set(runMessages.slice(some.length).map((letter) => letter.runId));
      return { runMessages: some, claimed, unread: due.filter((id) => left.has(id)) };
    },
    async commit(workerId, runs) {
      holdLease(workerId);
      try {
        write(workerId, runs);
      } catch {
        writeEach(workerId, runs);
      }
    },
    async transaction(workerId, body) {
      const tx = transaction();
      let open = true;
      try {
        const commit = await body(tx as PoolClient);
        write(workerId, [commit], () => {
          open = false;
          endTransaction?.(tx, 'commit');
        });
      } catch (error) {
        if (open) endTransaction?.(tx, 'rollback');
        throw error;
      }
    },
    async nextDue(sagas) {
      const times = sagas.flatMap((of) => sleepers(of).slice(0, 1)).map((run) => run.wakeAt);
      return times.length === 0 ? null : Math.min(...times);
    },
    now: async () => clock.now(),

    start: transactions.start,
    postRunMessage: transactions.postRunMessage,
    find: async (saga, key) => tables.runWithKey(saga, key) ?? null,
    read: async (ids) => [...new Set(ids)].flatMap((id) => tables.runs.get(id) ?? []).map(viewOf),
    journal: async (id) => tables.journalOf(id),

    get messages() {
      return messages.map(copyOf);
    },
    get views() {
      return [...tables.runs.values()].map(viewOf);
    },
    snapshot: () => ({
      runs: [...tables.runs.values()].map((run) => {
        const { worker, claims, lost, wakeAt, deadlineAt, parent } = run;
        const [journal, runMessages] = [tables.journalOf(run.id), tables.runMessagesOf(run.id)];
        return { ...viewOf(run), worker, claims, lost, wakeAt, deadlineAt, parent, journal, runMessages };
      }),
      workers: [...tables.workers.values()].map(({ id, name, leaseUntil }) => ({ id, name, leaseUntil })),
    }),
    begin: () => transactions.begin(),
    async inTransaction(fn) {
      const tx = transactions.begin();
      try {
        const result = await fn(tx);
        tx.commit();
        return result;
      } catch (error) {
        tx.rollback();
        throw error;
      }
    },
    whenChanged: () =>
      new Promise((resolve) => {
        const once = (): void => {
          listeners.delete(once);
          resolve();
        };
        listeners.add(once);
      }),
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

/** Of a list, in its order: those that begin within so many bytes. */
function upTo(most: number, runMessages: readonly RunMessage[]): readonly RunMessage[] {
  let before = 0;
  return runMessages.filter(({ bytes = 0 }) => (before += bytes) - bytes < most);
}

function isOf(run: SagaVersion, of: SagaVersion): boolean {
  return run.saga === of.saga && run.version === of.version;
}

function copyOf<T>(value: T): T {
  return structuredClone(value);
}

/** Does nothing until it is touched. */
function noTransaction(): unknown {
  return new Proxy(
    {},
    {
      get(_, name) {
        // A promise that resolves with it asks for `then`.
        if (name === 'then' || typeof name === 'symbol') return undefined;
        throw new HoldfastError(
          'HF_TX_UNSUPPORTED',
          `A transaction step used tx.${name}, but these runs are kept in memory.`,
          {
            advice:
              'Give createMemorySagaStore({ transaction: () => … }) a stand-in for your database, or test on a real one.',
          },
        );
      },
    },
  );
}
