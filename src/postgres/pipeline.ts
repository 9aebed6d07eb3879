/**
 * Statements that are sent without waiting for the answers before, on one connection, for as long as a transaction of ours has it
 * (node-postgres from 8.23 on). The answers come in the order of the statements; after a failed one the server refuses those behind it
 * in the same transaction, and answers their COMMIT with ROLLBACK: that answer has to be read.
 *
 * The driver keeps what was sent in a list that it reads only in this mode, so the mode may only be left while that list is empty. A
 * driver that has no such mode, or keeps other lists, is used as before: statements then wait for each other.
 */
import type pg from 'pg';

/** Lists of the driver: sent, and behind the statement whose answer is being read; not sent yet. */
const SENT = '_sentQueryQueue';
const UNSENT = '_queryQueue';

/** What is read and written of the driver's Client. */
interface PipelinedClient {
  pipeline: boolean;
  readonly readyForQuery?: boolean;
  readonly [SENT]: readonly unknown[];
  readonly [UNSENT]: readonly unknown[];
  readonly connectionParameters?: { readonly query_timeout?: unknown };
  readonly connection?: {
    readonly stream?: { readonly destroyed?: boolean; cork?(): void; uncork?(): void };
    parse(statement: { readonly text: string }): void;
    bind(portal: object): void;
    execute(portal: object): void;
  };
}

export class Pipeline {
  readonly #client: pg.ClientBase;
  /** Null: this driver cannot, or the connection has a time limit that would cut it in this mode. */
  readonly #driver: PipelinedClient | null;
  readonly #before: boolean;

  /** Switched on at once, if the client has nothing under way. */
  constructor(client: pg.ClientBase) {
    this.#client = client;
    this.#driver = isCapable(client) ? client : null;
    this.#before = this.#driver?.pipeline ?? false;
    if (this.#driver !== null) this.#driver.pipeline = true;
  }

  /** Whether statements go out at once. While it is false, each has to be awaited before the next one is sent. */
  get isOn(): boolean {
    return this.#driver?.pipeline ?? false;
  }

  /** Whether at most one statement is without its answer. */
  get canPause(): boolean {
    return this.#driver === null || this.#driver[SENT].length === 0;
  }

  /** From now on one statement after the other, for what cannot share the connection: cursors. Only while `canPause`. */
  pause(): void {
    if (!this.canPause) throw new TypeError('Statements are under way.');
    if (this.#driver !== null) this.#driver.pipeline = false;
  }

  /** Calls back once all that was sent is answered, or the connection is gone: what is sent then is refused by the driver. */
  whenAnswered(then: () => void): void {
    const client = this.#client;
    const done = (): void => {
      client.off('drain', look);
      client.off('end', done);
      then();
    };
    const look = (): void => {
      if (this.#driver?.readyForQuery !== false && this.canPause) done();
    };
    client.on('drain', look);
    client.on('end', done);
  }

  /** Calls back once the server is ready for the next statement, or the connection is gone. */
  whenReady(then: () => void): void {
    const isGone = this.#driver?.connection?.stream?.destroyed === true;
    if (this.#driver?.readyForQuery === false && !isGone) this.whenAnswered(then);
    else then();
  }

  /**
   * Puts statements ahead of the one that `act` sends, in the same exchange: when one of them fails, the server skips that one. It has to
   * be a single statement of the extended protocol, on a connection where nothing is under way; its result is the last of several.
   */
  ahead<T>(texts: readonly string[], act: () => T): T {
    const connection = this.#driver?.connection;
    if (connection === undefined) throw new TypeError('There is no connection to send on.');
    const { stream } = connection;
    stream?.cork?.();
    try {
      for (const text of texts) {
        connection.parse({ text });
        connection.bind({});
        connection.execute({});
      }
      return act();
    } finally {
      stream?.uncork?.();
    }
  }

  /** What `act` sends goes out as one piece with whatever else is sent before the event loop turns. */
  withNext<T>(act: () => T): T {
    const stream = this.isOn ? this.#driver?.connection?.stream : undefined;
    stream?.cork?.();
    process.nextTick(() => stream?.uncork?.());
    return act();
  }

  /**
   * Makes the client what it was before, for whoever has it next. False: something that was sent has no answer yet, and the connection
   * must serve nobody else.
   */
  end(): boolean {
    if (!this.canPause) return false;
    if (this.#driver !== null) this.#driver.pipeline = this.#before;
    return true;
  }
}

function isCapable(client: unknown): client is PipelinedClient {
  const driver = client as Partial<PipelinedClient>;
  if (typeof driver.pipeline !== 'boolean' || !Array.isArray(driver[SENT])) return false;
  if (!Array.isArray(driver[UNSENT]) || driver[UNSENT].length > 0) return false;
  // In this mode the driver leaves a statement that takes too long by cutting the connection, and its backend would go on with it. Else
  // the statement is left alone.
  const hasLimit = Boolean(driver.connectionParameters?.query_timeout);
  return driver.readyForQuery === true && !hasLimit;
}
