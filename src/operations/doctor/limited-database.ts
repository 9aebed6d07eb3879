/**
 * How the doctor reads: one connection at a time, in transactions that write nothing, wait for no lock and are cut off when they take
 * long. So it can be asked on a database of any size that is in trouble, and leaves nothing behind, also behind a pooler.
 */
import type pg from 'pg';
import type { Database } from '../../postgres/database.ts';
import { limitFrozen, runTransaction } from '../../postgres/transaction.ts';
import { OWN_TYPES } from '../../postgres/own-results.ts';

/** By the clock of this process, should the server fall silent, in milliseconds. */
const SILENT_MS = 20_000;
/** One text, one round trip. What is set holds until the transaction ends. */
const BEGIN = `BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SET LOCAL statement_timeout = '5s'; SET LOCAL lock_timeout = '1s';
  SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL jit = off; ${limitFrozen(SILENT_MS)}`;

/** The same database, read as above. What takes a connection outside the pool is not limited. */
export function limitedDatabase(database: Database): Database {
  let tail: Promise<unknown> = Promise.resolve();
  const withConnection = async <T>(fn: (client: pg.PoolClient) => Promise<T>): Promise<T> => {
    const work = async (): Promise<T> =>
      database.withConnection((client) => runTransaction(client, BEGIN, fn), { timeoutMs: SILENT_MS });
    const mine = tail.then(work, work);
    tail = mine.catch(() => undefined);
    return mine;
  };
  return {
    ...database,
    withConnection,
    query: async <R extends pg.QueryResultRow>(text: string, values?: readonly unknown[]) =>
      withConnection((client) =>
        client.query<R>({ text, ...(values === undefined ? {} : { values: [...values] }), types: OWN_TYPES }),
      ),
  };
}
