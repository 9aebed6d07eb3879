/**
 * Reads over tables of any size: on one connection, in a transaction that only reads, each statement with a limit of time that the server
 * keeps. All settings are local to the transaction, so nothing of them stays on a connection of the user's.
 *
 * The planner is told to go along indexes: what these reads ask for is always near one end of an index, and a plan for the whole table
 * would read all of it.
 *
 * What begins the transaction goes out together with the first statement, and what ends it together with the last where the read says
 * which that is. So one statement is one exchange with the server, where the driver can.
 */
import type pg from 'pg';
import type { Database } from '../../postgres/database.ts';
import { OWN_TYPES } from '../../postgres/own-results.ts';
import { Pipeline } from '../../postgres/pipeline.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { sqlStateOf, translateSqlError } from '../../postgres/sql-state.ts';
import { limitFrozen } from '../../postgres/transaction.ts';

/** The longest run of one statement, in milliseconds. */
const STATEMENT_MS = 1_000;
/** What the whole read may take by our own clock: the way out when the server falls silent. */
const WHOLE_MS = 30_000;
const QUERY_CANCELED = '57014';

export interface BoundedRead {
  /** The schema in quotes, as it stands in SQL. */
  readonly schema: string;
  /** The one value of a statement `SELECT (…)::text AS answer`: JSON. Null: it took too long. */
  readonly answer: (sql: string, parameters: readonly unknown[]) => Promise<string | null>;
  /** The same, for a statement that is the last one of its read: nothing can be asked after it. */
  readonly lastAnswer: (sql: string, parameters: readonly unknown[]) => Promise<string | null>;
}

/** The answer of a statement, parsed. Null: it took too long. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as the driver's own `query` has it
export async function readJson<T>(
  read: BoundedRead,
  sql: string,
  parameters: readonly unknown[],
): Promise<{ readonly value: T } | null> {
  return parsedAnswer(await read.answer(sql, parameters));
}

/** The same, of the last statement of a read. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as above
export async function readLastJson<T>(
  read: BoundedRead,
  sql: string,
  parameters: readonly unknown[],
): Promise<{ readonly value: T } | null> {
  return parsedAnswer(await read.lastAnswer(sql, parameters));
}

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as above
function parsedAnswer<T>(text: string | null): { readonly value: T } | null {
  return text === null ? null : { value: JSON.parse(text) as T };
}

/** Rejects with what translateSqlError makes of the driver's errors. */
export async function boundedRead<T>(database: Database, use: (read: BoundedRead) => Promise<T>): Promise<T> {
  try {
    return await database.withConnection((client) => inReadTransaction(client, database.schema, use), {
      timeoutMs: WHOLE_MS,
    });
  } catch (error) {
    throw translateSqlError(error);
  }
}

const BEGIN = [
  'BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY',
  `SET LOCAL statement_timeout = ${STATEMENT_MS}`,
  limitFrozen(WHOLE_MS),
  'SET LOCAL enable_seqscan = off',
  'SET LOCAL enable_bitmapscan = off',
  'SET LOCAL jit = off',
].join(';');

async function inReadTransaction<T>(
  client: pg.PoolClient,
  schema: string,
  use: (read: BoundedRead) => Promise<T>,
): Promise<T> {
  const transaction = new ReadTransaction(client);
  try {
    return await use({
      schema: quoteIdentifier(schema),
      answer: (sql, parameters) => transaction.ask(sql, parameters),
      lastAnswer: (sql, parameters) => transaction.ask(sql, parameters, { isLast: true }),
    });
  } finally {
    await transaction.end();
  }
}

class ReadTransaction {
  readonly #client: pg.PoolClient;
  readonly #pipeline: Pipeline;
  /** Under way, or done. Null: nothing has been asked yet. */
  #begun: Promise<unknown> | null = null;
  #ended: Promise<unknown> | null = null;

  constructor(client: pg.PoolClient) {
    this.#client = client;
    this.#pipeline = new Pipeline(client);
  }

  /** One at a time. Null: it took too long. */
  async ask(sql: string, parameters: readonly unknown[], { isLast = false } = {}): Promise<string | null> {
    this.#begun ??= this.#send(BEGIN);
    if (!this.#pipeline.isOn) await this.#begun;
    const asked = this.#client.query<{ answer: string }>({ text: sql, values: [...parameters], types: OWN_TYPES });
    if (isLast && this.#pipeline.isOn) this.#ended = this.#send('ROLLBACK');
    try {
      const [{ rows }] = await Promise.all([asked, this.#begun]);
      return rows[0]?.answer ?? 'null';
    } catch (error) {
      if (sqlStateOf(error) !== QUERY_CANCELED) throw error;
      if (this.#ended === null) this.#begun = this.#send(`ROLLBACK;${BEGIN}`);
      return null;
    }
  }

  /** Nothing was written. A connection that broke is thrown away by whoever lent it. */
  async end(): Promise<void> {
    if (this.#begun !== null) await (this.#ended ?? this.#send('ROLLBACK')).catch(() => undefined);
    this.#pipeline.end();
  }

  /** What becomes of it is known to whoever waits for it. */
  #send(text: string): Promise<unknown> {
    const sent = this.#client.query(text);
    sent.catch(() => undefined);
    return sent;
  }
}
