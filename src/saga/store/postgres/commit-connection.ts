/**
 * The connection of one group committer: made when it is needed, and let go of when it is lost or of no further use.
 */
import type pg from 'pg';
import type { Database } from '../../../postgres/database.ts';
import { classifySqlError, type SqlErrorKind } from '../../../postgres/sql-state.ts';
import type { ReconnectOptions } from './reconnect.ts';

export interface CommitConnectionOptions extends ReconnectOptions {
  readonly database: Database;
  /** How long an answer is waited for, in milliseconds. */
  readonly queryTimeoutMs: number;
}

/** Another connection may do better: this one is lost, not what it was, or leads to a standby. */
const OF_THE_CONNECTION: ReadonlySet<SqlErrorKind> = new Set(['connection', 'session', 'read-only']);

export class CommitConnection {
  readonly #options: CommitConnectionOptions;
  #client: pg.Client | undefined;

  constructor(options: CommitConnectionOptions) {
    this.#options = options;
  }

  async query(config: pg.QueryConfig): Promise<pg.QueryResult> {
    const client = await this.#connected();
    try {
      return await client.query(config);
    } catch (error) {
      // One that owes an answer is of no further use: the answer would be taken for that of the next statement.
      if (OF_THE_CONNECTION.has(classifySqlError(error))) void this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => undefined);
  }

  async #connected(): Promise<pg.Client> {
    if (this.#client !== undefined) return this.#client;
    const { database, queryTimeoutMs, log, closed } = this.#options;
    closed.throwIfAborted();
    const next = await database.dedicatedConnection({
      queryTimeoutMs,
      onLost: (error) => {
        if (this.#client !== next) return;
        this.#client = undefined;
        log.warn({ err: error }, 'the connection for commits was lost');
      },
    });
    if (closed.aborted) {
      await next.end().catch(() => undefined);
      closed.throwIfAborted();
    }
    this.#client = next;
    return next;
  }
}
