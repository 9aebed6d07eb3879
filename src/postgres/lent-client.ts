/**
 * A client lent to code that is not ours (a handler, a step of a saga) for as long as it runs, inside a transaction of ours.
 *
 * The guest may open transactions of its own, as repositories and ORMs do: within ours they are savepoints. It cannot end ours: its
 * COMMIT would keep the mark without the rest of the effect, its ROLLBACK would take back the mark and run on outside of any transaction.
 * What it leaves running behind it (the other branches of a Promise.all that rejected, a call it forgot to await) would else write on
 * the bare connection, or into the transaction of whoever has that connection next. And what it has changed of the session would be
 * there for the next one: the host is told, and destroys the connection.
 */
import type pg from 'pg';
import { HoldfastError, PermanentError } from '../errors.ts';
import { quoteIdentifier } from './quoting.ts';
import { HeldCalls } from './held-calls.ts';
import { Opening } from './opening.ts';
import type { Pipeline } from './pipeline.ts';
import { callbackOf, isSubmittable, needsConnection, refuseCall, statementText } from './query-call.ts';
import { inspectStatements, type Control, type Inspection } from './statements.ts';

/** The part of a node-postgres client that matters here. */
interface Lendable {
  query(...given: never[]): unknown;
}

/** A Client or PoolClient of node-postgres, as a runner of the user's may hand on. */
export function isPgClient<T>(tx: T): tx is T & Lendable {
  return (
    typeof tx === 'object' &&
    tx !== null &&
    'query' in tx &&
    typeof tx.query === 'function' &&
    'escapeIdentifier' in tx &&
    'getTypeParser' in tx
  );
}

export interface LentClient<C> {
  readonly tx: C;
  /** Of a transaction that its guest opens with its first statement; null: it was open when it was lent. */
  readonly opening: Opening | null;
  /** Why what was written through `tx` must not be committed: the guest tried to end the transaction, or left one of its own open. */
  trouble(): Error | null;
  /** Puts back the role that the guest has changed, for statements of the host's own. Sends nothing when it has changed none. */
  restoreRole(): Promise<void>;
  /** Whether the session may not be what it was, so that the connection must not serve anybody else. */
  leftTraces(): boolean;
  /** Whether something that it has set or made lasts until the transaction ends, for whoever else would run in it. */
  changedTransaction(): boolean;
  /** From now on every query through `tx` rejects with HF_NOT_IN_TRANSACTION. Queries sent before are not affected. */
  takeBack(): void;
}

/** `pipeline`: that of the client, ended by the host. What cannot share the connection, a cursor, pauses it. */
export function lend<C extends Lendable>(client: C, pipeline: Pipeline | null = null): LentClient<C> {
  return new Loan(client, pipeline);
}

/**
 * The same before BEGIN, which then goes with the guest's first statement. `begin`: the statements that open the transaction. Only with a
 * pipeline that is on. Before the host sends anything itself, it waits for `opening.settled()`.
 */
export function lendUnopened<C extends pg.ClientBase>(
  client: C,
  pipeline: Pipeline,
  begin: readonly string[],
): LentClient<C> {
  return new Loan(client, pipeline, (send) => new Opening(client, pipeline, begin, send));
}

class Loan<C extends Lendable> implements LentClient<C> {
  readonly tx: C;
  readonly opening: Opening | null;
  readonly #client: C;
  readonly #pipeline: Pipeline | null;
  /** Behind a cursor that waits for the connection. */
  #held: HeldCalls | null = null;
  #over = false;
  #refused: Error | null = null;
  #traces = false;
  #changed = false;
  #roleBefore: Promise<string> | null = null;
  /** Transactions of the guest's own that are open. */
  #depth = 0;

  constructor(
    client: C,
    pipeline: Pipeline | null,
    openBy?: (send: (...given: readonly unknown[]) => unknown) => Opening,
  ) {
    this.#client = client;
    this.#pipeline = pipeline;
    const opening = openBy?.((...given) => this.#send(...given)) ?? null;
    this.opening = opening;
    const query = (...given: unknown[]): unknown => this.#query(given);
    this.tx = new Proxy(client, {
      get(target, property) {
        if (property === 'query') return query;
        // What is asked for next will be in the transaction.
        if (property === 'getTransactionStatus' && opening !== null && !opening.isOpen) return inTransaction;
        if (property === 'release' || property === 'end') return refuseRelease;
        return Reflect.get(target, property, target) as unknown;
      },
    });
  }

  trouble(): Error | null {
    return this.#refused ?? (this.#depth > 0 ? leftOpen() : null);
  }

  async restoreRole(): Promise<void> {
    if (this.#roleBefore === null) return;
    const role = await this.#roleBefore;
    await this.#send(`SET LOCAL ROLE ${role === 'none' ? 'NONE' : quoteIdentifier(role)}`);
  }

  leftTraces(): boolean {
    return this.#traces;
  }

  changedTransaction(): boolean {
    return this.#changed;
  }

  takeBack(): void {
    this.#over = true;
    if (this.opening?.refuse(tooLate()) === true) this.#refused ??= stillHeld();
    if (this.#held === null) return;
    // Were they sent now, they would come behind the end of the transaction.
    this.#refused ??= stillHeld();
    this.#held.refuse(tooLate());
    this.#held = null;
  }

  #query(given: readonly unknown[]): unknown {
    if (this.#over) return refuseCall(given, tooLate());
    const text = statementText(given[0]);
    if (text !== undefined) {
      const inspection = inspectStatements(text);
      this.#traces ||= inspection.leavesTraces;
      this.#changed ||= inspection.changesTransaction;
      if (inspection.changesRole) this.#roleBefore ??= this.#askRole();
      if (inspection.becomesReadOnly && this.#depth === 0) return refuseCall(given, (this.#refused ??= readOnly()));
      if (inspection.controls.length > 0) return this.#sendControls(given, text, inspection);
    }
    return this.#send(...given);
  }

  #send(...given: readonly unknown[]): unknown {
    if (this.#held !== null) return this.#held.add(given);
    if (this.opening !== null && !this.opening.isOpen) return this.opening.send(given);
    if (this.#pipeline?.isOn === true && needsConnection(given[0])) return this.#sendAlone(this.#pipeline, given);
    return this.#sendNow(...given);
  }

  /** For the rest of the transaction its statements wait for each other, as without a pipeline. */
  #sendAlone(pipeline: Pipeline, given: readonly unknown[]): unknown {
    if (pipeline.canPause) {
      pipeline.pause();
      return this.#sendNow(...given);
    }
    const held = new HeldCalls((...call) => this.#sendNow(...call));
    this.#held = held;
    const answer = held.add(given);
    pipeline.whenAnswered(() => {
      if (this.#held !== held) return;
      pipeline.pause();
      this.#held = null;
      held.send();
    });
    return answer;
  }

  #sendNow(...given: readonly unknown[]): unknown {
    return (this.#client.query as (...all: readonly unknown[]) => unknown).apply(this.#client, given as unknown[]);
  }

  /** Sent before the guest's statement, and answered before it. */
  #askRole(): Promise<string> {
    const asked = this.#send("SELECT current_setting('role') AS role") as Promise<{
      rows: readonly { role: string }[];
    }>;
    return asked.then(
      ({ rows }) => rows[0]?.role ?? 'none',
      () => 'none',
    );
  }

  #sendControls(given: readonly unknown[], text: string, { controls, alone }: Inspection): unknown {
    let rewritten = '';
    let at = 0;
    for (const control of controls) {
      const instead = this.#translate(control);
      if (instead === undefined) return refuseCall(given, (this.#refused ??= refusal(control)));
      rewritten += text.slice(at, control.start) + instead;
      at = control.end;
    }
    rewritten += text.slice(at);
    // The driver sends it as it is: another statement than the one that stood behind a prepared name, and without values.
    if (isSubmittable(given[0])) throw noCursor();
    const callback = callbackOf(given);
    const own = alone ? (controls[0] as Control).does.toUpperCase() : null;
    if (callback === null) return (this.#send(rewritten) as Promise<unknown>).then((result) => asAsked(result, own));
    return this.#send(rewritten, (error: unknown, result: unknown) => callback(error, asAsked(result, own)));
  }

  /** The statement that does within our transaction what this one would do outside. Undefined: nothing can. */
  #translate({ does, asks }: Control): string | undefined {
    if (asks === 'isolation' || asks === 'chain' || asks === 'two phases') return undefined;
    if (does === 'begin') {
      this.#depth += 1;
      const savepoint = `SAVEPOINT ${nameOf(this.#depth)}`;
      return asks === 'read only' ? `${savepoint};SET TRANSACTION READ ONLY` : savepoint;
    }
    if (this.#depth === 0) return undefined;
    const name = nameOf(this.#depth);
    this.#depth -= 1;
    return does === 'commit' ? `RELEASE SAVEPOINT ${name}` : `ROLLBACK TO SAVEPOINT ${name};RELEASE SAVEPOINT ${name}`;
  }
}

function nameOf(depth: number): string {
  return `holdfast_nested_${depth}`;
}

/** The result under the name of the statement that was asked for, if there was one alone. */
function asAsked(result: unknown, command: string | null): unknown {
  if (command === null) return result;
  const last: unknown = Array.isArray(result) ? result.at(-1) : result;
  return typeof last === 'object' && last !== null ? Object.assign(last, { command }) : last;
}

function inTransaction(): string {
  return 'T';
}

function refuseRelease(): never {
  throw new PermanentError('The handler released the connection that Holdfast had opened for it.', {
    advice: 'Leave tx to Holdfast.',
  });
}

function refusal({ does, asks }: Control): PermanentError {
  if (asks === 'isolation') {
    return new PermanentError('A transaction within that of Holdfast cannot have another isolation level.', {
      advice: 'Leave the level out of what is run with tx, or do that part in a transaction and connection of its own.',
    });
  }
  const what = asks === 'two phases' ? 'PREPARE TRANSACTION' : does.toUpperCase();
  return new PermanentError(
    `${what} would end the transaction in which Holdfast keeps what is written together with its own record; it was not sent.`,
    {
      advice:
        'Return to commit and throw to roll back; BEGIN, COMMIT and ROLLBACK of an ORM’s own are fine in pairs, and act as savepoints.',
    },
  );
}

function readOnly(): PermanentError {
  return new PermanentError('SET TRANSACTION READ ONLY would keep Holdfast from writing its record; it was not sent.', {
    advice:
      'Leave it out, or read in a transaction of the ORM’s own (BEGIN READ ONLY), which ends before the handler does.',
  });
}

function leftOpen(): PermanentError {
  return new PermanentError('A transaction that was begun with tx was neither committed nor rolled back.', {
    advice: 'Await the transaction of the ORM to its end, or leave BEGIN to Holdfast.',
  });
}

function stillHeld(): PermanentError {
  return new PermanentError('The handler ended while statements of its own had not been sent yet.', {
    advice: 'Await all that uses tx before the handler ends.',
  });
}

function noCursor(): PermanentError {
  return new PermanentError('A cursor or stream was given BEGIN, COMMIT or ROLLBACK.', {
    advice: 'Send it by tx.query(text).',
  });
}

function tooLate(): HoldfastError {
  return new HoldfastError('HF_NOT_IN_TRANSACTION', 'The handler is over, and its transaction with it.', {
    advice: 'Await all that uses tx before the handler ends; when a Promise.all rejects, its other branches go on.',
  });
}
