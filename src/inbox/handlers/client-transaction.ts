/**
 * One transaction on a connection of the pool, with a time limit for each exchange with the server. Only after an orderly end does the
 * connection go back to the pool. Otherwise it is destroyed, because its state is not known.
 */
import pg, { type PoolClient } from 'pg';
import { HoldfastError } from '../../errors.ts';
import { endBackend, pidOf } from '../../postgres/backend.ts';
import { giveBack, noteSilence, takeConnection } from '../../postgres/checkout.ts';
import { hintCommit, takeNoted } from '../../postgres/commit-hints.ts';
import type { Database } from '../../postgres/database.ts';
import type { Row, SqlExecutor } from '../../postgres/executor.ts';
import type { LentClient } from '../../postgres/lent-client.ts';
import type { Deadlines } from '../../runtime/deadlines.ts';
import type { Statement, StatementResult } from './unit-of-work.ts';

/** How long the server may take to end the process of a severed connection, in milliseconds. */
const END_TIMEOUT_MS = 30_000;

/** Clients that have our listener; several consumers may share a pool. */
const watched = new WeakSet<PoolClient>();

/** Where the connection is: not taken yet, ours, ours and fit to serve others, or gone from here. */
type ConnectionState = 'none' | 'ours' | 'reusable' | 'given back';

/** Whether a guest may have changed the session. */
type Traces = Pick<LentClient<PoolClient>, 'leftTraces'>;

export class ClientTransaction {
  readonly #database: Database;
  readonly #deadlines: Deadlines;
  readonly #timeoutMs: number;
  #client: PoolClient | null = null;
  #state: ConnectionState = 'none';

  constructor(
    { database, deadlines }: { readonly database: Database; readonly deadlines: Deadlines },
    timeoutMs: number,
  ) {
    this.#database = database;
    this.#deadlines = deadlines;
    this.#timeoutMs = timeoutMs;
  }

  get client(): PoolClient {
    if (this.#client === null) throw new TypeError('The transaction has no connection yet.');
    return this.#client;
  }

  /** The connection was cut while the handler had it. */
  get severed(): boolean {
    return this.#state === 'given back';
  }

  /**
   * Takes a connection, then BEGIN and `opening` in one round trip.
   * @param connected called between the two
   */
  async begin(opening: readonly Statement[], connected: () => void): Promise<readonly StatementResult[]> {
    const client = await takeConnection(this.#database.pool);
    this.#client = client;
    this.#state = 'ours';
    // A checked-out client without a listener would end the process when its connection breaks. Queries reject by themselves.
    if (!watched.has(client)) {
      watched.add(client);
      client.on('error', () => {});
    }
    connected();
    try {
      return await this.#within(open(client, opening, this.#timeoutMs), 'Opening the transaction');
    } catch (error) {
      // The server may still be waiting for a lock: its process would go on, and hold what it gets.
      if (error instanceof HoldfastError) await this.sever();
      throw error;
    }
  }

  /** Cuts the connection and ends its backend, so that nothing of the transaction goes on. Never rejects. */
  async sever(): Promise<void> {
    this.#release(true);
    try {
      await endBackend(this.#database, pidOf(this.client), { timeoutMs: END_TIMEOUT_MS });
    } catch {
      // The connection is cut all the same; its backend ends as soon as it tries to answer.
    }
  }

  /** One statement of our own, within the time limit. */
  async ask(sql: string): Promise<void> {
    await this.#within(this.client.query(sql), sql);
  }

  /** Never rejects: a connection that does not answer is destroyed, and the server rolls back by itself. */
  async rollBack(lent: Traces): Promise<void> {
    try {
      await this.#within(this.client.query('ROLLBACK'), 'ROLLBACK');
      this.keepConnection(lent);
    } catch {}
  }

  /**
   * `closing` and COMMIT in one round trip: when one of the statements fails, the rest of the text is not run. Resolves with false when the
   * server rolled back instead, because a statement had failed before.
   */
  async commit(closing: readonly Statement[] = []): Promise<boolean> {
    let text = '';
    for (const statement of closing) text += `${withLiterals(statement)};`;
    try {
      const results = (await this.#within(this.client.query(`${text}COMMIT`), 'COMMIT')) as unknown as
        | DriverResult
        | readonly DriverResult[];
      const last = Array.isArray(results) ? (results as readonly DriverResult[]).at(-1) : (results as DriverResult);
      const committed = last?.command === 'COMMIT';
      // What closes a transaction is the record of a call, and mostly its reply.
      if (takeNoted(this.client) || closing.length > 0) hintCommit(this.#database);
      return committed;
    } catch (error) {
      // A closing statement may still be waiting for a lock, and would commit when it has it.
      if (text !== '' && error instanceof HoldfastError) await this.sever();
      throw error;
    }
  }

  /**
   * After an orderly end the connection may serve others, unless the handler has changed its session: the next one's statements would run
   * in another schema, under another role, or hold its locks.
   */
  keepConnection(lent: Traces): void {
    if (this.#state === 'ours' && !lent.leftTraces()) this.#state = 'reusable';
  }

  giveBack(): void {
    this.#release(this.#state !== 'reusable');
  }

  #release(destroy: boolean): void {
    if (this.#client === null || this.#state === 'given back') return;
    this.#state = 'given back';
    giveBack(this.#client, destroy);
  }

  /** Settles as the promise does, or rejects when the time is up; the connection is then to be destroyed. */
  #within<T>(promise: Promise<T>, what: string): Promise<T> {
    const timeoutMs = this.#timeoutMs;
    return new Promise((resolve, reject) => {
      const cancel = this.#deadlines.add(timeoutMs, () => {
        noteSilence(this.#database.pool);
        reject(new HoldfastError('HF_DATABASE_UNAVAILABLE', `${what} took longer than ${timeoutMs} ms.`));
      });
      promise.then(
        (value) => {
          cancel();
          resolve(value);
        },
        (error: unknown) => {
          cancel();
          reject(error);
        },
      );
    });
  }
}

export function executorOf(client: PoolClient): SqlExecutor {
  return async (sql, parameters) => (await client.query(sql, [...parameters])).rows as readonly Row[];
}

export function abortedTransaction(): HoldfastError {
  return abortedBy(null, undefined);
}

/** @param topic of the handler; null: the message is not known here */
export function abortedBy(topic: string | null, cause: unknown): HoldfastError {
  return new HoldfastError(
    'HF_TRANSACTION_ABORTED',
    `The handler${topic === null ? '' : ` of ${topic}`} resolved, but a statement in its transaction had failed, so nothing could be committed.`,
    {
      ...(cause === undefined ? {} : { cause }),
      advice: 'Let the error out of the handler, or put the statement into a savepoint.',
    },
  );
}

/** What a handler may still do after its time is up, and a slow machine, in milliseconds. */
const FROZEN_MARGIN_MS = 10_000;
/** PostgreSQL's largest timeout, in milliseconds. */
const LONGEST_TIMEOUT_MS = 2_147_483_647;

async function open(
  client: PoolClient,
  opening: readonly Statement[],
  timeoutMs: number,
): Promise<readonly StatementResult[]> {
  // A process that is stopped or starved inside a transaction keeps its mark and its locks, and another that gets the message would
  // wait for them without end. A living one never stands still for so long: the handler's time is up before.
  const frozenMs = Math.min(Math.ceil(timeoutMs) + FROZEN_MARGIN_MS, LONGEST_TIMEOUT_MS);
  let own = 1;
  let text = 'BEGIN';
  if (!opening.some(({ limitsIdle }) => limitsIdle === true)) {
    own = 2;
    text += `;SET LOCAL idle_in_transaction_session_timeout = ${frozenMs}`;
  }
  for (const statement of opening) text += `;${withLiterals(statement, frozenMs)}`;
  // Several statements in one text come back as an array of results, which the driver's types do not say.
  const results = (await client.query(text)) as unknown as DriverResult | readonly DriverResult[];
  if (!Array.isArray(results)) return [];
  return (results as readonly DriverResult[]).slice(own).map(({ rows, rowCount }) => ({ rows, count: rowCount ?? 0 }));
}

interface DriverResult {
  readonly command: string;
  readonly rows: readonly Row[];
  readonly rowCount: number | null;
}

const pieces = new Map<string, readonly string[]>();

/** The simple protocol, which alone takes several statements at once, has no parameters. */
function withLiterals({ sql, parameters, limitsIdle }: Statement, frozenMs = 0): string {
  let parts = pieces.get(sql);
  if (parts === undefined) {
    // Odd places hold the numbers of parameters.
    parts = sql.split(/\$(\d+)/);
    pieces.set(sql, parts);
  }
  let text = '';
  for (let index = 0; index < parts.length; index += 1) {
    const part = parts[index] as string;
    if (index % 2 === 0) text += part;
    else if (limitsIdle === true && Number(part) === parameters.length) text += `'${frozenMs}'`;
    else text += literal(parameters[Number(part) - 1] ?? null);
  }
  return text;
}

function literal(value: string | null): string {
  if (value === null) return 'NULL';
  // NUL would end the text of the statement early. Ids and keys were checked when they were decoded.
  if (value.includes('\0'))
    throw new HoldfastError('HF_PAYLOAD_TEXT', 'A text holds NUL (U+0000), which PostgreSQL cannot store.');
  return pg.escapeLiteral(value);
}
