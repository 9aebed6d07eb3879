/**
 * The store of runs as a process of a simulation has it: at the other end of a network. Does what the store of production does about
 * answers that do not come: a commit is found out about, everything else says that the database is not there.
 */
import { HoldfastError } from '../../../src/errors.ts';
import {
  GroupCommitError,
  leaseLost,
  StepBrokenError,
  StepPrecludedError,
} from '../../../src/saga/store/commit-error.ts';
import type { ClientStore, RunCommit, WorkerStore } from '../../../src/saga/store/store.ts';
import type { MemorySagaStore } from '../../../src/testing/saga/memory-saga-store.ts';
import type { MemoryTx } from '../../../src/testing/saga/memory-transactions.ts';
import { Unanswered, type Network } from '../machine/network.ts';
import type { Life } from '../machine/process.ts';
import type { SimulatedTx } from '../workload/steps.ts';

export interface RemoteStoreOptions {
  readonly network: Network;
  readonly store: MemorySagaStore;
  /** Told of what has been committed, at that moment. */
  readonly onCommitted: (workerId: string, runs: readonly RunCommit[]) => void;
}

/** Between two tries to learn what became of a commit, in milliseconds. */
const AGAIN_MS = 200;

export class RemoteStore {
  readonly #options: RemoteStoreOptions;
  readonly #life: Life;
  /** Commits go one after the other, as on the one connection that they have. */
  #lastCommit: Promise<unknown> = Promise.resolve();

  constructor(options: RemoteStoreOptions, life: Life) {
    this.#options = options;
    this.#life = life;
  }

  get worker(): WorkerStore {
    const { store } = this.#options;
    return {
      register: (worker) => this.#ask('register', () => store.register(worker)),
      renew: (workerId, leaseMs, draining) => this.#ask('renew', () => store.renew(workerId, leaseMs, draining)),
      offeredElsewhere: (workerId, runId) => this.#ask('offered', () => store.offeredElsewhere(workerId, runId)),
      goesOn: (runId) => this.#ask('goes on', () => store.goesOn(runId)),
      takeOver: () => this.#ask('take over', () => store.takeOver()),
      retire: (workerId, lost) => this.#ask('retire', () => store.retire(workerId, lost)),
      held: (workerId) => this.#ask('held', () => store.held(workerId)),
      letGo: (workerId, runIds, delayMs) => this.#ask('let go', () => store.letGo(workerId, runIds, delayMs)),
      claim: (workerId, wanted, room) =>
        this.#ask(
          'claim',
          () => store.claim(workerId, wanted, room),
          (runs) => (runs.length === 0 ? null : 'claim of something'),
        ),
      collect: (workerId, options) =>
        this.#ask(
          'collect',
          () => store.collect(workerId, options),
          ({ claimed }) => (claimed.length === 0 ? null : 'collect of something'),
        ),
      nextDue: (sagas, workerId) => this.#ask('next due', () => store.nextDue(sagas, workerId)),
      commit: (workerId, runs) => this.#commit(workerId, runs),
      transaction: (workerId, body) => this.#transaction(workerId, body),
      now: () => this.#ask('now', () => store.now()),
    };
  }

  get client(): ClientStore<MemoryTx> {
    const { store } = this.#options;
    return {
      start: (_tx, requests) => this.#ask('start', () => store.start(null, requests)),
      postRunMessage: (_tx, runId, body, statuses) =>
        this.#ask(body.kind, () => store.postRunMessage(null, runId, body, statuses)),
      read: (ids) => this.#ask('read', () => store.read(ids)),
      find: (saga, key) => this.#ask('find', () => store.find(saga, key)),
      journal: (id) => this.#ask('journal', () => store.journal(id)),
    };
  }

  async #ask<T>(what: string, act: () => Promise<T>, found?: (answer: T) => string | null): Promise<T> {
    try {
      return await this.#options.network.call(this.#life, 'store', what, act, found);
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      throw new HoldfastError('HF_DATABASE_UNAVAILABLE', error.message, { cause: error });
    }
  }

  /** Made again until it is answered: the store makes it once, whenever it arrives, and says what became of it. */
  #commit(workerId: string, runs: readonly RunCommit[]): Promise<void> {
    const mine = this.#lastCommit.then(() => this.#commitUntilKnown(workerId, runs));
    this.#lastCommit = mine.catch(() => undefined);
    return mine;
  }

  async #commitUntilKnown(workerId: string, runs: readonly RunCommit[]): Promise<void> {
    const { network, store, onCommitted } = this.#options;
    const what = runs.some(beginsAStep) ? 'commit before a step' : 'commit';
    let outcome: Promise<void> | null = null;
    const once = (): Promise<void> => {
      outcome ??= store.commit(workerId, runs).then(
        () => onCommitted(workerId, runs),
        (error: unknown) => {
          // All but those that are named are committed.
          if (error instanceof GroupCommitError) {
            const { failures } = error;
            onCommitted(
              workerId,
              runs.filter(({ runId }) => !failures.has(runId)),
            );
          }
          throw error;
        },
      );
      return outcome;
    };
    for (;;) {
      try {
        return await network.call(this.#life, 'store', what, once);
      } catch (error) {
        if (!(error instanceof Unanswered)) throw error;
        await this.#life.sleep(AGAIN_MS);
      }
    }
  }

  /** As PostgreSQL's store does it: an empty row stands where the lost one would have come to stand. */
  async #takePlace(workerId: string, commit: RunCommit): Promise<void> {
    const { network, store } = this.#options;
    let outcome: Promise<void> | null = null;
    const take = async (): Promise<void> => {
      if (!(await store.held(workerId)).includes(commit.runId)) throw leaseLost();
      await store.commit(workerId, [emptied(commit)]);
    };
    const once = (): Promise<void> => (outcome ??= take());
    for (;;) {
      try {
        return await network.call(this.#life, 'store', 'take the place', once);
      } catch (error) {
        if (!(error instanceof Unanswered)) throw error;
        await this.#life.sleep(AGAIN_MS);
      }
    }
  }

  async #transaction(workerId: string, body: (tx: never) => Promise<RunCommit>): Promise<void> {
    const { network, store, onCommitted } = this.#options;
    const life = this.#life;
    await this.#ask('begin', () => Promise.resolve());
    let lost: () => void = () => {};
    // Rejects when COMMIT got lost on its way; otherwise what becomes of it is found out, however long that takes.
    const precluded = new Promise<never>((_, reject) => {
      lost = () => reject(new StepPrecludedError());
    });
    precluded.catch(() => undefined);
    let commit: RunCommit | null = null;
    const answer = await store
      .transaction<never>(workerId, async (tx) => {
        commit = await body(tx).catch((error: unknown) => {
          throw (tx as SimulatedTx).isBroken === true ? new StepBrokenError({ error }) : error;
        });
        await Promise.race([network.arrival(life, 'store', 'COMMIT', lost), precluded]);
        return commit;
      })
      .then(
        () => {
          if (commit !== null) onCommitted(workerId, [commit]);
          return null;
        },
        (error: unknown) => ({ error }),
      );
    await new Promise<void>((resolve) => {
      life.machine.scheduler.after(network.travel(life, 'COMMIT answered'), life, resolve);
    });
    if (answer === null) return;
    if (answer.error instanceof StepPrecludedError && commit !== null) await this.#takePlace(workerId, commit);
    throw answer.error;
  }
}

/** An empty row in the place of one that was on its way. */
function emptied({ runId, journal }: RunCommit): RunCommit {
  const row = journal === null ? null : { ...journal, events: '[]' };
  const nothing = { start: null, update: null, runMessagesDone: [], runMessages: [], children: [], messages: [] };
  return { runId, journal: row, ...nothing };
}

function beginsAStep({ journal }: RunCommit): boolean {
  return journal !== null && /"kind":"step"|"t":"compensating"/.test(journal.events);
}
