/**
 * A connection of its own for what must not wait behind work: leases and heartbeats. Connects when it is first used, and again after it
 * was lost or has fallen silent.
 */
import type pg from 'pg';
import type { Database } from './database.ts';
import { classifySqlError } from './sql-state.ts';

export interface OwnConnection {
  /** One statement after the other. Rejects with the driver's errors, and with one when no answer came in time. */
  query<R extends pg.QueryResultRow>(text: string, values: readonly unknown[]): Promise<readonly R[]>;
  close(): Promise<void>;
}

export function createOwnConnection(database: Database, options: { readonly queryTimeoutMs: number }): OwnConnection {
  let client: pg.Client | null = null;
  let closed = false;
  let last: Promise<unknown> = Promise.resolve();

  function drop(lost: pg.Client | null): void {
    if (lost === null) return;
    if (client === lost) client = null;
    void lost.end().catch(() => {});
  }

  async function connected(): Promise<pg.Client> {
    if (client !== null) return client;
    const next = await database.dedicatedConnection({
      queryTimeoutMs: options.queryTimeoutMs,
      onLost: () => {
        if (client === next) client = null;
      },
    });
    client = next;
    return next;
  }

  async function ask<R extends pg.QueryResultRow>(text: string, values: readonly unknown[]): Promise<readonly R[]> {
    const on = await connected();
    try {
      return (await on.query<R>(text, [...values])).rows;
    } catch (error) {
      // An answer that is still to come would be taken for that of the next statement.
      if (['connection', 'session', 'read-only'].includes(classifySqlError(error))) drop(on);
      throw error;
    } finally {
      // Nobody else would end it.
      if (closed) drop(on);
    }
  }

  return {
    query<R extends pg.QueryResultRow>(text: string, values: readonly unknown[]) {
      const answer = last.then(() => ask<R>(text, values));
      last = answer.catch(() => {});
      return answer;
    },
    async close() {
      closed = true;
      const old = client;
      client = null;
      await old?.end().catch(() => {});
    },
  };
}
