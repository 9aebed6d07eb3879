/**
 * The narrowest view of a database handle: run one statement. Everything that writes inside a caller's transaction
 * goes through it, so that no driver or ORM is imported to serve one. Handles are told apart by their shape.
 */

import { HoldfastError } from '../errors.ts';

/** A row of a result, by the names of its columns. */
export type Row = Readonly<Record<string, unknown>>;

/** Runs one statement with `$1`-style parameters and resolves with its rows. */
export type SqlExecutor = (sql: string, parameters: readonly unknown[]) => Promise<readonly Row[]>;

/** A connected client of node-postgres: Client or PoolClient, not a Pool. */
export interface PgClientHandle {
  query(text: string, values: unknown[]): Promise<{ readonly rows: readonly unknown[] }>;
  escapeIdentifier(text: string): string;
}

/** Transaction or ControlledTransaction of Kysely. */
export interface KyselyTransactionHandle {
  readonly isTransaction: true;
  executeQuery(query: never): Promise<{ readonly rows: readonly unknown[] }>;
}

/** The caller's open transaction, in their client. A function is taken as a SqlExecutor. */
export type TransactionHandle = PgClientHandle | KyselyTransactionHandle | SqlExecutor;

export interface OpenTransaction {
  readonly execute: SqlExecutor;
  /**
   * Whether the handle itself shows, at this moment, that the next statement will run in an open transaction. If not, only the
   * database can tell. Throws HF_NOT_IN_TRANSACTION when the handle shows the contrary.
   */
  readonly showsTransaction: () => boolean;
}

/**
 * The executor of a transaction handle. Throws HF_TX_UNSUPPORTED for a handle of no known kind and HF_NOT_IN_TRANSACTION for one
 * that shows that it is not in an open transaction.
 */
export function toExecutor(tx: TransactionHandle): SqlExecutor {
  const transaction = openTransaction(tx);
  transaction.showsTransaction();
  return transaction.execute;
}

/** Handles that were looked at before: what they are does not change, and every message that is sent comes through here. */
const known = new WeakMap<object, OpenTransaction>();

/** As toExecutor, for callers that look again before each statement. */
export function openTransaction(tx: TransactionHandle): OpenTransaction {
  if (typeof tx === 'function') return { execute: tx, showsTransaction: () => false };
  const seen = known.get(tx);
  if (seen !== undefined) return seen;
  const opened = recognise(tx);
  known.set(tx, opened);
  return opened;
}

function recognise(tx: Exclude<TransactionHandle, SqlExecutor>): OpenTransaction {
  if (typeof tx === 'object' && tx !== null) {
    if (isKysely(tx)) return ofKysely(tx);
    if (isPgPool(tx)) {
      throw new HoldfastError(
        'HF_NOT_IN_TRANSACTION',
        'A pool is not in a transaction: each of its statements may run on another connection.',
        {
          advice: 'Take a client with pool.connect(), send BEGIN, and pass that client.',
        },
      );
    }
    if ('query' in tx && typeof tx.query === 'function') return ofPgClient(tx);
  }
  throw new HoldfastError('HF_TX_UNSUPPORTED', `${describe(tx)} is no transaction handle that Holdfast knows.`, {
    advice:
      'Pass a node-postgres client after BEGIN, a Kysely Transaction or ControlledTransaction, or a function (sql, parameters) => Promise<rows> that runs in your transaction.',
  });
}

interface PgClient extends PgClientHandle {
  /** From 8.17 on: the status of the last ReadyForQuery, null before the first. */
  getTransactionStatus?(): string | null;
  /** False while statements are under way, whose outcome may change the status. */
  readonly readyForQuery?: boolean;
}

function ofPgClient(client: PgClient): OpenTransaction {
  return {
    // Text and values apart: the driver takes longer over an object, and every message that is sent comes through here.
    execute: async (sql, parameters) => (await client.query(sql, parameters as unknown[])).rows as readonly Row[],
    showsTransaction: () => {
      const status = client.readyForQuery === true ? client.getTransactionStatus?.() : undefined;
      if (status === 'I') {
        throw new HoldfastError('HF_NOT_IN_TRANSACTION', 'The client is not in a transaction.', {
          advice:
            'Send BEGIN on this client before, or use the client that your transaction helper passes to its callback.',
        });
      }
      if (status === 'E') {
        throw new HoldfastError(
          'HF_NOT_IN_TRANSACTION',
          'The transaction of this client is aborted: a statement in it has failed, and it can only be rolled back.',
          {
            advice: 'Roll back, or use a savepoint around statements that may fail.',
          },
        );
      }
      return status === 'T';
    },
  };
}

interface KyselyHandle {
  readonly isTransaction: boolean;
  /** Of a ControlledTransaction. */
  readonly isCommitted?: boolean;
  readonly isRolledBack?: boolean;
  executeQuery(query: object): Promise<{ readonly rows: readonly unknown[] }>;
}

function ofKysely(kysely: KyselyHandle): OpenTransaction {
  if (!kysely.isTransaction) {
    throw new HoldfastError('HF_NOT_IN_TRANSACTION', 'This Kysely instance is not a transaction.', {
      advice:
        'Pass the trx of db.transaction().execute(async (trx) => …), or the result of db.startTransaction().execute().',
    });
  }
  return {
    execute: async (sql, parameters) => {
      // What CompiledQuery.raw() of Kysely 0.28 and 0.29 makes. Plugins look at the query node, the driver at sql and parameters.
      const { rows } = await kysely.executeQuery({
        sql,
        parameters,
        query: { kind: 'RawNode', sqlFragments: [sql], parameters: [] },
        queryId: { queryId: 'holdfast' },
      });
      return rows as readonly Row[];
    },
    showsTransaction: () => {
      if (kysely.isCommitted === true || kysely.isRolledBack === true) {
        throw new HoldfastError(
          'HF_NOT_IN_TRANSACTION',
          `The Kysely transaction is already ${kysely.isCommitted === true ? 'committed' : 'rolled back'}.`,
          {
            advice: 'Send before you end the transaction.',
          },
        );
      }
      // A Transaction that outlived its callback looks the same as before in some versions.
      return false;
    },
  };
}

function isKysely(tx: object): tx is KyselyHandle {
  return (
    'executeQuery' in tx &&
    typeof tx.executeQuery === 'function' &&
    'isTransaction' in tx &&
    typeof tx.isTransaction === 'boolean'
  );
}

function isPgPool(tx: object): boolean {
  return 'totalCount' in tx && 'idleCount' in tx && 'connect' in tx;
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value !== 'object') return `A ${typeof value}`;
  const name = value.constructor?.name ?? 'Object';
  return name === 'Object' ? 'An object' : `A ${name}`;
}
