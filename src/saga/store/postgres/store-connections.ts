/**
 * The connections that the store of a worker has for itself, one for its lease and two for its commits. They are made anew when the store
 * is opened again.
 */
import type { Database } from '../../../postgres/database.ts';
import { createOwnConnection, type OwnConnection } from '../../../postgres/own-connection.ts';
import type { Clock } from '../../../runtime/clock.ts';
import type { CrashPoint } from '../../../runtime/crash-point.ts';
import type { Logger } from '../../../runtime/log.ts';
import type { RunCommit } from '../store.ts';
import { GroupCommitter } from './group-commit.ts';
import type { ReconnectOptions } from './reconnect.ts';

export interface StoreConnectionsOptions {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly crashPoint: CrashPoint;
  /** How long an answer is waited for, in milliseconds. */
  readonly queryTimeoutMs: number;
}

/** What `close` uses up. */
interface Parts {
  readonly closing: AbortController;
  readonly patience: ReconnectOptions;
  readonly lease: OwnConnection;
  readonly group: GroupCommitter;
  readonly other: GroupCommitter;
}

/** How long `close` leaves to a commit under way before it gives up on its answer, in milliseconds. */
const CLOSE_MS = 5_000;

export class StoreConnections {
  readonly #options: StoreConnectionsOptions;
  #parts: Parts;

  constructor(options: StoreConnectionsOptions) {
    this.#options = options;
    this.#parts = openParts(options);
  }

  /** The lease must not wait for a connection of the pool, which handlers may hold for as long as they like. */
  get lease(): OwnConnection {
    return this.#parts.lease;
  }

  /** For what may have to be done again. */
  get patience(): ReconnectOptions {
    return this.#parts.patience;
  }

  /** On the one of the two that has less to do. */
  commit(workerId: string, runs: readonly RunCommit[]): Promise<void> {
    const { group, other } = this.#parts;
    return (group.pending > other.pending ? other : group).commit(workerId, runs);
  }

  open(): void {
    if (this.#parts.closing.signal.aborted) this.#parts = openParts(this.#options);
  }

  /** Waits for the commit under way, and ends what cannot reach the database. */
  async close(): Promise<void> {
    const { closing, group, other, lease } = this.#parts;
    const patienceIsOver = setTimeout(() => closing.abort(), CLOSE_MS);
    await Promise.all([group.close(), other.close(), lease.close()]);
    clearTimeout(patienceIsOver);
    closing.abort();
  }
}

function openParts({ database, clock, log, crashPoint, queryTimeoutMs }: StoreConnectionsOptions): Parts {
  const closing = new AbortController();
  const patience: ReconnectOptions = { clock, log, closed: closing.signal };
  // Two, because a worker has two commits under way: while one waits for the disk, the other goes on.
  const committer = () => new GroupCommitter({ ...patience, database, crashPoint, queryTimeoutMs });
  return {
    closing,
    patience,
    lease: createOwnConnection(database, { queryTimeoutMs }),
    group: committer(),
    other: committer(),
  };
}
