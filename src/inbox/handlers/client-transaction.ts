/**
 * One transaction on a connection of the pool, with a time limit for each exchange with the server. Only after an orderly end does the
 * connection go back to the pool. Otherwise it is destroyed, because its state is not known.
 */
import type { PoolClient } from 'pg';
import { HoldfastError } from '../../errors.ts';
import { endBackend, pidOf } from '../../postgres/backend.ts';
import { destroySocket, giveBack, noteSilence, takeConnection } from '../../postgres/checkout.ts';
import { hintCommit, takeNoted } from '../../postgres/commit-hints.ts';
import type { Database } from '../../postgres/database.ts';
import type { Row, SqlExecutor } from '../../postgres/executor.ts';
import type { LentClient } from '../../postgres/lent-client.ts';
import { Pipeline } from '../../postgres/pipeline.ts';
import type { Deadlines } from '../../runtime/deadlines.ts';
import type { HandedConnection, TransactionLanes } from './transaction-lanes.ts';
import { openingText, withLiterals } from './transaction-text.ts';
import type { Statement, StatementResult } from './unit-of-work.ts';

/** How long the server may take to end the process of a severed connection, in milliseconds. */
const END_TIMEOUT_MS = 30_000;

/** Clients that have our listener, and whether their connection has broken; several consumers may share a pool. */
const watched = new WeakMap<PoolClient, { isBroken: boolean }>();

/** Where the connection is: not taken yet, ours, ours and fit to serve others, in the hands of the next transaction, or gone from here. */
type ConnectionState = 'none' | 'ours' | 'reusable' | 'handed on' | 'given back';

/** After so many transactions in a row the pool has its connection back, which may have grown too old by its rules. */
const MAX_HANDED_ON = 64;

/** Whether a guest may have changed the session. */
type Traces = Pick<LentClient<PoolClient>, 'leftTraces'>;

export class ClientTransaction {
  readonly #database: Database;
  readonly #deadlines: Deadlines;
  readonly #timeoutMs: number;
  readonly #lanes: TransactionLanes | null;
  #client: PoolClient | null = null;
  #state: ConnectionState = 'none';
  /** When it entered its lane; null: it is in none. */
  #enteredMs: number | null = null;
  #timesHandedOn = 0;
  /** ROLLBACK found the connection gone. */
  #wasGone = false;

  constructor(
    { database, deadlines }: { readonly database: Database; readonly deadlines: Deadlines },
    timeoutMs: number,
    lanes: TransactionLanes | null = null,
  ) {
    this.#database = database;
    this.#deadlines = deadlines;
    this.#timeoutMs = timeoutMs;
    this.#lanes = lanes;
  }

  get client(): PoolClient {
    if (this.#client === null) throw new TypeError('The transaction has no connection yet.');
    return this.#client;
  }

  /** The connection was cut while the handler had it. */
  get severed(): boolean {
    return this.#state === 'given back';
  }

  /** The connection has broken, and not by our doing. Not asked once it is handed on. */
  get isCut(): boolean {
    return this.#wasGone || watched.get(this.client)?.isBroken === true;
  }

  /**
   * Takes a connection, then BEGIN and `opening` in one round trip.
   * @param connected called between the two
   */
  async begin(opening: readonly Statement[], connected: () => void): Promise<readonly StatementResult[]> {
    const lanes = this.#lanes;
    const text = openingText(opening, this.#timeoutMs);
    if (lanes !== null) {
      const turn = lanes.enter();
      const handed = turn === null ? null : await turn;
      this.#enteredMs = lanes.nowMs();
      const results = handed === null ? null : await this.#beginBehind(handed, text, connected);
      if (results !== null) return resultsOf(opening, results);
    }
    const client = await takeConnection(this.#database.pool);
    this.#client = client;
    this.#state = 'ours';
    // A checked-out client without a listener would end the process when its connection breaks. Queries reject by themselves.
    if (!watched.has(client)) {
      const state = { isBroken: false };
      watched.set(client, state);
      client.on('error', () => void (state.isBroken = true));
    }
    connected();
    try {
      return resultsOf(opening, await this.#exchange(text, OPENING));
    } catch (error) {
      // The server may still be waiting for a lock: its process would go on, and hold what it gets.
      if (error instanceof HoldfastError) await this.sever();
      throw error;
    }
  }

  /** On a connection whose COMMIT is not answered yet. Null: it is not fit for more, and nothing has happened on it. */
  async #beginBehind(
    { client, pipeline, times }: HandedConnection,
    text: string,
    connected: () => void,
  ): Promise<readonly DriverResult[] | null> {
    this.#client = client;
    this.#state = 'ours';
    this.#timesHandedOn = times;
    connected();
    try {
      const results = await this.#exchange(text, OPENING);
      if (pipeline.end()) return results;
    } catch (error) {
      if (error instanceof HoldfastError) {
        await this.sever();
        throw error;
      }
    }
    // The transaction before it was not ended, as when a statement beside its COMMIT was refused, or the connection is gone. If this one
    // is at fault, it will be refused again.
    this.#release(true);
    this.#timesHandedOn = 0;
    return null;
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
    await this.#exchange(sql, sql);
  }

  /** Never rejects: what does not answer is cut, and its backend ended, which rolls back by that. */
  async rollBack(lent: Traces): Promise<void> {
    try {
      await this.#exchange('ROLLBACK', 'ROLLBACK');
      this.keepConnection(lent);
    } catch (error) {
      // Without an answer in time it may be the handler's: a statement that it left running, with its locks.
      if (error instanceof HoldfastError) await this.sever();
      else this.#wasGone = true;
    }
  }

  /**
   * `closing` and COMMIT in one round trip: when one of the statements fails, the rest of the text is not run. Resolves with false when the
   * server rolled back instead, because a statement had failed before.
   * @param lent tells whether the connection may be handed on before the answer
   */
  async commit(closing: readonly Statement[] = [], lent: Traces | null = null): Promise<boolean> {
    let text = '';
    for (const statement of closing) text += `${withLiterals(statement)};`;
    // What closes a transaction is the record of a call, and mostly its reply. Asked before somebody else has the client.
    const hints = takeNoted(this.client) || closing.length > 0;
    try {
      const results = await this.#sendCommit(`${text}COMMIT`, lent);
      if (hints) hintCommit(this.#database);
      return results.at(-1)?.command === 'COMMIT';
    } catch (error) {
      if (error instanceof HoldfastError) {
        // Nothing that was sent behind it will be answered either.
        if (this.#state === 'handed on') destroySocket(this.client);
        // A closing statement may still be waiting for a lock, and would commit when it has it.
        if (text !== '') await this.sever();
      }
      throw error;
    }
  }

  #sendCommit(text: string, lent: Traces | null): Promise<readonly DriverResult[]> {
    const lanes = this.#lanes;
    const { client } = this;
    if (lanes === null || lent === null || !lanes.isAwaited || !this.#mayHandOn(lent))
      return this.#exchange(text, 'COMMIT');
    const pipeline = new Pipeline(client);
    if (!pipeline.isOn) return this.#exchange(text, 'COMMIT');
    const answer = pipeline.withNext(() => this.#exchange(text, 'COMMIT'));
    const enteredMs = this.#enteredMs ?? lanes.nowMs();
    this.#state = 'handed on';
    this.#enteredMs = null;
    lanes.handOn({ client, pipeline, times: this.#timesHandedOn + 1 }, enteredMs);
    return answer;
  }

  /** Not past others that wait for a connection of the pool. */
  #mayHandOn(lent: Traces): boolean {
    const { pool } = this.#database;
    return (
      this.#state === 'ours' &&
      !lent.leftTraces() &&
      pool.waitingCount === 0 &&
      this.#timesHandedOn < MAX_HANDED_ON &&
      !Number.isFinite(pool.options.maxUses)
    );
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
    const enteredMs = this.#enteredMs;
    this.#enteredMs = null;
    if (enteredMs !== null) this.#lanes?.leave(enteredMs);
  }

  #release(destroy: boolean): void {
    if (this.#client === null || this.#state === 'given back' || this.#state === 'handed on') return;
    this.#state = 'given back';
    giveBack(this.#client, destroy);
  }

  /** Resolves with the result of each statement, or rejects when the time is up; the connection is then to be destroyed. */
  #exchange(text: string, what: string): Promise<readonly DriverResult[]> {
    const timeoutMs = this.#timeoutMs;
    return new Promise((resolve, reject) => {
      const cancel = this.#deadlines.add(timeoutMs, () => {
        noteSilence(this.#database.pool);
        reject(new HoldfastError('HF_DATABASE_UNAVAILABLE', `${what} took longer than ${timeoutMs} ms.`));
      });
      // One result of one statement, an array of several, which the driver's types do not say.
      (this.client.query(text) as Promise<unknown>).then(
        (results) => {
          cancel();
          resolve(Array.isArray(results) ? (results as readonly DriverResult[]) : [results as DriverResult]);
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

/** For a handler that took no notice. */
export function cutTransaction(): HoldfastError {
  return new HoldfastError(
    'HF_DATABASE_UNAVAILABLE',
    'The connection broke under the handler, and its transaction was rolled back.',
    { advice: 'It is tried again. Look at the log of the server when that goes on.' },
  );
}

const OPENING = 'Opening the transaction';

/** Without those of statements that openingText has added. */
function resultsOf(opening: readonly Statement[], results: readonly DriverResult[]): readonly StatementResult[] {
  return results.slice(results.length - opening.length).map(({ rows, rowCount }) => ({ rows, count: rowCount ?? 0 }));
}

interface DriverResult {
  readonly command: string;
  readonly rows: readonly Row[];
  readonly rowCount: number | null;
}
