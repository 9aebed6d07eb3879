/**
 * Runs kept in memory: the ports of src/saga/store/store.ts for tests, on a clock of the test's choice. Part of the public test kit
 * (`holdfast/testing`); passes the same conformance suite as the PostgreSQL store. Nothing outlives the process.
 */
import { HoldfastError } from '../../errors.ts';
import { systemClock, type Clock } from '../../runtime/clock.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import type { ClientStore, RunMessage, RunView, WorkerStore } from '../../saga/store/store.ts';
import type { JournalRow } from '../../saga/journal/events.ts';
import { MemoryChanges } from './memory-changes.ts';
import { MemoryClaims } from './memory-claims.ts';
import { MemoryCommits } from './memory-commits.ts';
import { MemoryLeases } from './memory-leases.ts';
import { viewOf, type MemoryMessage } from './memory-rows.ts';
import { createMemoryTables, type MemoryTables } from './memory-tables.ts';
import { createMemoryTransactions, type MemoryTransactions, type MemoryTx } from './memory-transactions.ts';

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
  return memorySagaStoreOn(createMemoryTables(), options);
}

/** On tables that somebody else looks at as well. */
export function memorySagaStoreOn(tables: MemoryTables, options: MemorySagaStoreOptions): MemorySagaStore {
  const { clock = systemClock, transaction = noTransaction, endTransaction, onMessage } = options;
  const changes = new MemoryChanges();
  const leases = new MemoryLeases(tables, clock, changes);
  const claims = new MemoryClaims(tables, clock, leases);
  const commits = new MemoryCommits({ tables, clock, leases, changes, transaction, endTransaction, onMessage });
  const transactions = createMemoryTransactions(
    tables,
    () => clock.now(),
    () => changes.tell(),
  );

  return {
    register: (worker) => leases.register(worker),
    renew: (workerId, leaseMs) => leases.renew(workerId, leaseMs),
    /** One code a version: there is nobody with another one. */
    offeredElsewhere: async () => false,
    goesOn: async (runId) => leases.goesOn(runId),
    takeOver: async () => leases.takeOver(),
    retire: async (workerId, lost) => leases.retire(workerId, lost),
    held: async (workerId) => leases.heldBy(workerId).map(({ id }) => id),
    letGo: async (workerId, runIds, delayMs) => leases.letGo(workerId, runIds, delayMs),
    claim: (workerId, wanted, room) => claims.claim(workerId, wanted, room),
    collect: (workerId, collectOptions) => claims.collect(workerId, collectOptions),
    nextDue: async (sagas) => claims.nextDue(sagas),
    commit: (workerId, runs) => commits.commit(workerId, runs),
    transaction: (workerId, body) => commits.transaction(workerId, body),
    now: async () => clock.now(),

    start: transactions.start,
    postRunMessage: transactions.postRunMessage,
    find: async (saga, key) => tables.runWithKey(saga, key) ?? null,
    read: async (ids) => [...new Set(ids)].flatMap((id) => tables.runs.get(id) ?? []).map(viewOf),
    journal: async (id) => tables.journalOf(id),

    get messages() {
      return commits.messages;
    },
    get views() {
      return [...tables.runs.values()].map(viewOf);
    },
    snapshot: () => snapshotOf(tables),
    begin: () => transactions.begin(),
    inTransaction: (fn) => inTransaction(transactions, fn),
    whenChanged: () => changes.next(),
    onChange: (listener) => changes.listen(listener),
  };
}

function snapshotOf(tables: MemoryTables): MemorySnapshot {
  return {
    runs: [...tables.runs.values()].map((run) => {
      const { worker, claims, lost, wakeAt, deadlineAt, parent } = run;
      const [journal, runMessages] = [tables.journalOf(run.id), tables.runMessagesOf(run.id)];
      return { ...viewOf(run), worker, claims, lost, wakeAt, deadlineAt, parent, journal, runMessages };
    }),
    workers: [...tables.workers.values()].map(({ id, name, leaseUntil }) => ({ id, name, leaseUntil })),
  };
}

async function inTransaction<T>(transactions: MemoryTransactions, fn: (tx: MemoryTx) => Promise<T>): Promise<T> {
  const tx = transactions.begin();
  try {
    const result = await fn(tx);
    tx.commit();
    return result;
  } catch (error) {
    tx.rollback();
    throw error;
  }
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
