/**
 * Transaction steps in a client or ORM of the user's, which opens the transaction and commits it: the record is written by its own
 * statements, so effect and record are one commit all the same.
 *
 * How it ended cannot be told from what comes out of the runner. Runners wrap errors, run hooks behind COMMIT that may fail, and resolve
 * when the server has made a ROLLBACK of their COMMIT. So it is kept here how far it came: before the record was answered nothing has
 * happened, and after it the journal is asked, by the worker's own connection (step-in-doubt.ts).
 *
 * Nor does an error of the handler say whether its own connection has broken: a statement of ours is asked, in the same transaction, and
 * where the runner answers for itself, the server.
 *
 * Nor can a runner be cut off. It is waited for as long as its answers may take; then its backend is ended, or the journal asked.
 */
import { HoldfastError, isHoldfastError } from '../../../errors.ts';
import { hintCommit, takeNoted } from '../../../postgres/commit-hints.ts';
import type { Row, SqlExecutor } from '../../../postgres/executor.ts';
import { isPgClient, lend } from '../../../postgres/lent-client.ts';
import { quoteIdentifier } from '../../../postgres/quoting.ts';
import { executorIn, type Runner } from '../../../postgres/runner.ts';
import { RunnerConnection } from '../../../postgres/runner-connection.ts';
import { classifySqlError, sqlStateOf, translateSqlError } from '../../../postgres/sql-state.ts';
import { endUnheard, type Unheard } from '../../../postgres/unheard-backend.ts';
import { defectOf } from '../../../runtime/defect.ts';
import { explainRefusal, leaseLost, StepBrokenError, StepPrecludedError } from '../commit-error.ts';
import type { RunCommit } from '../store.ts';
import { settleStepInDoubt, type JournalledCommit } from './step-in-doubt.ts';
import {
  abortedStep,
  endedByStep,
  isStepRecord,
  journalled,
  refusedRecord,
  type TransactionStepOptions,
} from './transaction-step.ts';

export interface RunnerStepOptions<Tx> extends TransactionStepOptions {
  readonly runner: Runner<Tx>;
  /** Runners of which it has been seen that they open transactions, and where. */
  readonly proved: WeakSet<object>;
}

/** How long the runner's ROLLBACK may take before its backend is ended, and after that, in milliseconds. */
const ROLLBACK_MS = 2_000;

/** Rejects when nothing has happened, and resolves when all of it has. */
export async function runRunnerStep<Tx>(
  options: RunnerStepOptions<Tx>,
  workerId: string,
  body: (tx: Tx) => Promise<RunCommit>,
): Promise<void> {
  await new RunnerStep(options, workerId, body).run();
}

class RunnerStep<Tx> {
  readonly #options: RunnerStepOptions<Tx>;
  readonly #workerId: string;
  readonly #body: (tx: Tx) => Promise<RunCommit>;
  readonly #s: string;
  #pid: number | null = null;
  #isOpened = false;
  /** Settles with what the runner was given to do. Never rejects. */
  #carriedOut: Promise<unknown> = Promise.resolve();
  /** Nobody waits for the runner any more: what it still does must come to nothing. */
  #isGivenUp = false;
  /** Once we have its backend ended: what it was seen to do. */
  #ending: Promise<Unheard> | null = null;
  /** What its handler failed with. */
  #met: { readonly error: unknown } | null = null;
  /** Why the runner is to roll back, as it was before the runner wrapped it. */
  #failure: { readonly error: unknown } | null = null;
  /** What was written, once that was answered. From then on only the journal knows. */
  #recorded: JournalledCommit | null = null;
  #wroteMessages = false;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;
  #giveUp: (error: Error) => void = () => {};
  readonly #connection = new RunnerConnection();

  constructor(options: RunnerStepOptions<Tx>, workerId: string, body: (tx: Tx) => Promise<RunCommit>) {
    this.#options = options;
    this.#workerId = workerId;
    this.#body = body;
    this.#s = quoteIdentifier(options.database.schema);
  }

  async run(): Promise<void> {
    const { runner, crashPoint, queryTimeoutMs, database } = this.#options;
    let refusal: { readonly error: unknown } | null = null;
    const givenUp = new Promise<never>((_resolve, reject) => {
      this.#giveUp = (error) => {
        this.#isGivenUp = true;
        reject(error);
      };
    });
    try {
      this.#limit(queryTimeoutMs, () => this.#giveUp(unavailable('opened no transaction in time')));
      await Promise.race([runner.transaction((tx) => this.#begin(tx)), givenUp]);
    } catch (error) {
      refusal = { error };
      this.#connection.leave(error);
      // Some runners reject as soon as the connection breaks, with the handler still at work: the attempt is not over before it is.
      if (!this.#isGivenUp) await Promise.race([this.#carriedOut, givenUp]).catch(() => undefined);
    } finally {
      clearTimeout(this.#timer);
      this.#isOver = true;
    }
    const recorded = this.#recorded;
    if (recorded === null) throw await this.#whyNot(refusal);
    crashPoint('saga.transaction.commit:after');
    if (refusal !== null || !(await this.#stands(recorded)))
      await this.#settle(recorded, refusal === null ? abortedStep() : refusal.error);
    if (this.#wroteMessages) hintCommit(database);
  }

  /** Before the record was answered, nothing can have been committed with it. */
  async #whyNot(refusal: { readonly error: unknown } | null): Promise<unknown> {
    if (this.#failure !== null) return this.#failure.error;
    // Not even that its backend was ended has come through.
    if (this.#isGivenUp && this.#ending !== null && (this.#met !== null || (await this.#ending) === 'silent'))
      return new StepBrokenError(this.#met);
    if (refusal !== null) return this.#isOpened ? refusal.error : explainOpening(refusal.error);
    return new HoldfastError('HF_CONFIG', 'The runner of a transaction step resolved without running its function.', {
      advice: 'Hand fn on to what opens a transaction in your client: transaction: (fn) => db.transaction(fn).',
    });
  }

  #begin(tx: Tx): Promise<void> {
    const carriedOut = this.#carryOut(tx);
    this.#carriedOut = carriedOut.catch(() => undefined);
    return carriedOut;
  }

  /** In the transaction of the runner, which commits if this resolves and rolls back if it rejects. */
  async #carryOut(tx: Tx): Promise<void> {
    try {
      if (this.#isOpened) throw runTwice();
      this.#isOpened = true;
      await this.#inTransaction(tx);
    } catch (error) {
      this.#failure ??= { error };
      this.#limit(ROLLBACK_MS, () => this.#endRollback());
      throw error;
    }
  }

  async #inTransaction(tx: Tx): Promise<void> {
    const { runner, crashPoint, queryTimeoutMs } = this.#options;
    const execute = executorIn(runner, tx);
    this.#refuseLate();
    const opened = await this.#open(execute);
    this.#refuseLate();
    // The handler's time is limited by whoever runs it.
    clearTimeout(this.#timer);
    const commit = await this.#handled(tx, execute, opened);
    crashPoint('saga.transaction:before');
    crashPoint('saga.transaction.commit:before');
    await this.#record(execute, commit);
    this.#refuseLate();
    this.#recorded = commit;
    this.#limit(queryTimeoutMs, () => this.#giveUp(unavailable('did not say in time what became of COMMIT')));
  }

  /** What the handler wants recorded, in a transaction that is whole. */
  async #handled(tx: Tx, execute: SqlExecutor, opened: Row): Promise<JournalledCommit> {
    let isDone = false;
    try {
      const commit = await this.#bodyOf(tx);
      isDone = true;
      this.#limit(this.#options.queryTimeoutMs, () => this.#endRollback());
      await this.#look(execute, opened);
      return commit;
    } catch (error) {
      if (!isDone) this.#met = { error };
      this.#limit(ROLLBACK_MS, () => this.#endRollback());
      if (await this.#isBroken(execute, opened)) throw new StepBrokenError(this.#met);
      throw error;
    }
  }

  /** Whether the connection of the transaction is gone, and not by our doing. */
  async #isBroken(execute: SqlExecutor, { pid, xid }: Row): Promise<boolean> {
    try {
      await this.#connection.ask(execute, 'SELECT 1 AS answers');
      return false;
    } catch (error) {
      if (this.#ending !== null) return (await this.#ending) === 'silent';
      const { database, queryTimeoutMs: timeoutMs } = this.#options;
      const byOurs: SqlExecutor = async (sql, given) => (await database.query<Row>(sql, given, { timeoutMs })).rows;
      return this.#connection.isGoneBy(error, { pid: Number(pid), xid: String(xid) }, byOurs);
    }
  }

  #refuseLate(): void {
    if (this.#isGivenUp) throw unavailable('did not answer in time');
  }

  /** Takes the transaction's number, by which it is known again, and limits how long it may stand idle. */
  async #open(execute: SqlExecutor): Promise<Row> {
    const { idleInTransactionMs, runner, proved } = this.#options;
    const [row] = await execute(
      `SELECT pg_backend_pid()::text AS pid, pg_current_xact_id()::text AS xid, current_setting('role') AS role,
         set_config('idle_in_transaction_session_timeout', $1::text, true) AS idle`,
      [String(Math.ceil(idleInTransactionMs))],
    );
    if (row === undefined) {
      throw new HoldfastError('HF_TX_UNSUPPORTED', 'The runner did not return the row of a statement.', {
        advice: 'Its execute must resolve with the rows, as an array of objects.',
      });
    }
    this.#pid = Number(row['pid']);
    if (!proved.has(runner)) {
      await this.#prove(execute, row);
      proved.add(runner);
    }
    return row;
  }

  /** The first time: that it is a transaction, and that what is written in it is beside the worker's own row. */
  async #prove(execute: SqlExecutor, { xid }: Row): Promise<void> {
    const mine = `(SELECT 'yes' FROM ${this.#s}.worker w WHERE w.id = $1::text::uuid)`;
    const [row] = await execute(`SELECT pg_current_xact_id_if_assigned()::text AS xid, ${mine} AS mine`, [
      this.#workerId,
    ]).catch((error: unknown) => {
      throw classifySqlError(error) === 'schema' ? elsewhere(error) : error;
    });
    if (row?.['xid'] !== xid) {
      throw new HoldfastError('HF_CONFIG', 'The runner opened no transaction: two statements had one each.', {
        advice: 'Hand what your client opens on to fn: transaction: (fn) => db.transaction((tx) => fn(tx)).',
      });
    }
    if (row?.['mine'] === 'yes') return;
    const { rows } = await this.#options.database.query(`SELECT 1 FROM ${this.#s}.worker WHERE id = $1`, [
      this.#workerId,
    ]);
    throw rows.length > 0 ? elsewhere() : leaseLost();
  }

  async #bodyOf(tx: Tx): Promise<JournalledCommit> {
    const lent = isPgClient(tx) ? lend(tx) : null;
    const own = lent === null ? tx : lent.tx;
    try {
      const commit = journalled(await this.#body(own));
      const trouble = lent?.trouble() ?? null;
      if (trouble !== null) throw trouble;
      return commit;
    } finally {
      lent?.takeBack();
      this.#wroteMessages = takeNoted(tx as object);
    }
  }

  /** Whether it is still the same transaction, and no statement of it has failed. Takes back a role that the handler has taken. */
  async #look(execute: SqlExecutor, { xid, role }: Row): Promise<void> {
    const sql = `SELECT pg_current_xact_id_if_assigned()::text AS xid, set_config('role', $1::text, true) AS role`;
    const [row] = await this.#connection.ask(execute, sql, [role]).catch((error: unknown) => {
      throw sqlStateOf(error) === '25P02' ? abortedStep() : error;
    });
    if (row?.['xid'] !== xid) throw endedByStep();
  }

  /** The fence, and the row of the journal: the last statement before the runner's COMMIT. */
  async #record(execute: SqlExecutor, commit: JournalledCommit): Promise<void> {
    if (!isStepRecord(commit)) throw new TypeError('A transaction step has more to record than its own row.');
    const { runId, journal, update } = commit;
    const given = [this.#workerId, runId, String(journal.n), String(journal.at), journal.events];
    if (update !== null) given.push(update.status, update.reason ?? '');
    const casts = ['::uuid', '::uuid', '::integer', '::double precision', '::json', '', ''];
    const parameters = given.map((_, index) => `$${index + 1}::text${casts[index]}`);
    // No reason is null, and not an empty one.
    if (update !== null) parameters[6] = `nullif(${parameters[6]}, '')`;
    try {
      await execute(`SELECT ${this.#s}.record_step(${parameters.join(', ')})::text AS recorded`, given);
    } catch (error) {
      throw refusedRecord(error);
    }
  }

  /** What was sent holds the runner up: without its backend it is answered, badly. After that nobody waits for it. */
  #endRollback(): void {
    const { database, queryTimeoutMs } = this.#options;
    this.#ending ??= endUnheard(database, { pid: this.#pid, isAnswered: true }, queryTimeoutMs);
    void this.#ending.then(() => {
      this.#limit(ROLLBACK_MS, () => this.#giveUp(unavailable('did not answer in time')));
    });
  }

  /** A first look, which is enough where all is well. */
  async #stands({ runId, journal }: JournalledCommit): Promise<boolean> {
    const { database, queryTimeoutMs } = this.#options;
    const sql = `SELECT events::text AS events FROM ${this.#s}.saga_journal WHERE saga_id = $1 AND n = $2`;
    try {
      const { rows } = await database.query<{ events: string }>(sql, [runId, journal.n], { timeoutMs: queryTimeoutMs });
      return rows[0]?.events === journal.events;
    } catch {
      return false;
    }
  }

  async #settle(commit: JournalledCommit, why: unknown): Promise<void> {
    try {
      await settleStepInDoubt(this.#options, this.#workerId, { commit, pid: this.#pid });
    } catch (error) {
      const said = why instanceof HoldfastError || sqlStateOf(why) !== undefined;
      if (!(error instanceof StepPrecludedError) || !said || classifySqlError(why) === 'connection') throw error;
      throw new StepPrecludedError(explainRefusal(why));
    }
  }

  /** One limit at a time. */
  #limit(ms: number, act: () => void): void {
    clearTimeout(this.#timer);
    if (!this.#isGivenUp && !this.#isOver) this.#timer = setTimeout(act, ms);
  }
}

function unavailable(what: string, cause?: unknown): HoldfastError {
  return new HoldfastError('HF_DATABASE_UNAVAILABLE', `The runner of a transaction step ${what}.`, {
    ...(cause === undefined ? {} : { cause }),
    advice: 'Look whether its pool has connections to spare, and whether the database answers.',
  });
}

/** Libraries have errors of their own for pools that are full: what is not known to be something else is the database's. */
function explainOpening(error: unknown): Error {
  const translated = translateSqlError(error);
  if (classifySqlError(error) !== 'other' || isHoldfastError(translated) || defectOf(error) !== null) return translated;
  return unavailable(`could not open a transaction: ${translated.message.replace(/\.$/, '')}`, error);
}

function runTwice(): HoldfastError {
  return new HoldfastError('HF_CONFIG', 'The runner ran its function a second time.', {
    advice: 'Switch off retries in what opens the transaction: Holdfast tries a step again by itself.',
  });
}

function elsewhere(cause?: unknown): HoldfastError {
  return new HoldfastError(
    'HF_CONFIG',
    "The runner works on another database, or schema, than the worker: a step's record would not be beside its run.",
    {
      advice: 'Open both on the same database: openDatabase({ url }) and the client that the runner is made of.',
      ...(cause === undefined ? {} : { cause }),
    },
  );
}
