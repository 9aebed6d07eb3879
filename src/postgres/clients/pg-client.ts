/** Clients of node-postgres: Client and PoolClient. */
import { hasMethods, notInTransaction, type OpenTransaction, type Row } from './client.ts';

/** A connected client of node-postgres: Client or PoolClient, not a Pool. */
export interface PgClientHandle {
  query(text: string, values: unknown[]): Promise<{ readonly rows: readonly unknown[] }>;
  escapeIdentifier(text: string): string;
}

interface PgClient extends PgClientHandle {
  /** From 8.17 on: the status of the last ReadyForQuery, null before the first. */
  getTransactionStatus?(): string | null;
  /** False while statements are under way, whose outcome may change the status. */
  readonly readyForQuery?: boolean;
}

export function openPgClient(tx: object): OpenTransaction | null {
  if (isPgPool(tx)) {
    throw notInTransaction(
      'A pool is not in a transaction: each of its statements may run on another connection.',
      'Take a client with pool.connect(), send BEGIN, and pass that client.',
    );
  }
  return hasMethods(tx, 'query', 'escapeIdentifier') ? ofPgClient(tx as PgClient) : null;
}

/** A wrapper of one, which need not have more than `query`. To be asked last: others have one as well. */
export function openPgWrapper(tx: object): OpenTransaction | null {
  return hasMethods(tx, 'query') ? ofPgClient(tx as PgClient) : null;
}

function ofPgClient(client: PgClient): OpenTransaction {
  return {
    // Text and values apart: the driver takes longer over an object, and every message that is sent comes through here.
    execute: async (sql, parameters) => (await client.query(sql, parameters as unknown[])).rows as readonly Row[],
    showsTransaction: () => {
      const status = client.readyForQuery === true ? client.getTransactionStatus?.() : undefined;
      if (status === 'I') {
        throw notInTransaction(
          'The client is not in a transaction.',
          'Send BEGIN on this client before, or use the client that your transaction helper passes to its callback.',
        );
      }
      if (status === 'E') {
        throw notInTransaction(
          'The transaction of this client is aborted: a statement in it has failed, and it can only be rolled back.',
          'Roll back, or use a savepoint around statements that may fail.',
        );
      }
      return status === 'T';
    },
  };
}

function isPgPool(tx: object): boolean {
  return 'totalCount' in tx && 'idleCount' in tx && 'connect' in tx;
}
