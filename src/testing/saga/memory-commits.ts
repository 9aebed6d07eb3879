/**
 * What workers write into the in-memory store under their lease: commits, and transaction steps.
 */
import type { Clock } from '../../runtime/clock.ts';
import { GroupCommitError, RevokedError } from '../../saga/store/commit-error.ts';
import type { RunCommit } from '../../saga/store/store.ts';
import type { MemoryChanges } from './memory-changes.ts';
import type { MemoryLeases } from './memory-leases.ts';
import type { MemoryMessage } from './memory-rows.ts';
import type { MemoryTables } from './memory-tables.ts';

export interface MemoryCommitsOptions {
  readonly tables: MemoryTables;
  readonly clock: Clock;
  readonly leases: MemoryLeases;
  readonly changes: MemoryChanges;
  readonly transaction: () => unknown;
  readonly endTransaction: ((tx: unknown, outcome: 'commit' | 'rollback') => void) | undefined;
  readonly onMessage: ((message: MemoryMessage) => void) | undefined;
}

export class MemoryCommits {
  readonly #options: MemoryCommitsOptions;
  readonly #messages: MemoryMessage[] = [];

  constructor(options: MemoryCommitsOptions) {
    this.#options = options;
  }

  get messages(): readonly MemoryMessage[] {
    return this.#messages.map((message) => structuredClone(message));
  }

  async commit(workerId: string, runs: readonly RunCommit[]): Promise<void> {
    this.#options.leases.assert(workerId);
    try {
      this.#write(workerId, runs);
    } catch {
      this.#writeEach(workerId, runs);
    }
  }

  async transaction(workerId: string, body: (tx: never) => Promise<RunCommit>): Promise<void> {
    const { transaction, endTransaction } = this.#options;
    const tx = transaction();
    let open = true;
    try {
      const commit = await body(tx as never);
      this.#write(workerId, [commit], () => {
        open = false;
        endTransaction?.(tx, 'commit');
      });
    } catch (error) {
      if (open) endTransaction?.(tx, 'rollback');
      throw error;
    }
  }

  /** All of it, with `last` as its last act, or nothing. */
  #write(workerId: string, runs: readonly RunCommit[], last: () => void = () => {}): void {
    const { tables, clock, leases, changes, onMessage } = this.#options;
    leases.assert(workerId);
    if (runs.some((run) => isRevoked(run, tables))) throw new RevokedError();
    const written = tables.atomically((writes) => {
      const sent = writes.commit(workerId, runs, clock.now());
      last();
      return sent;
    });
    this.#messages.push(...written);
    if (onMessage !== undefined)
      for (const message of written) queueMicrotask(() => onMessage(structuredClone(message)));
    changes.tell();
  }

  /** Run by run, so that what is refused of one does not hold up the others. */
  #writeEach(workerId: string, runs: readonly RunCommit[]): void {
    const failures = new Map<string, Error>();
    for (const run of runs) {
      try {
        this.#write(workerId, [run]);
      } catch (error) {
        failures.set(run.runId, error instanceof Error ? error : new Error(String(error)));
      }
    }
    if (failures.size > 0) throw new GroupCommitError(failures);
  }
}

/** It ends or begins its pivot, while a message that it has not taken in wants it compensated. */
function isRevoked({ runId, update, runMessagesDone }: RunCommit, tables: MemoryTables): boolean {
  return (
    update?.guarded === true &&
    tables
      .runMessagesOf(runId)
      .some(({ id, body }) => (body.kind === 'cancel' || body.kind === 'undo') && !runMessagesDone.includes(id))
  );
}
