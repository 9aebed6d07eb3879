/**
 * Units of work on a Database (node-postgres): the handler gets a PoolClient.
 * BEGIN and the inbox mark go out as one text in one round trip: with the handler's own statement and COMMIT that makes three
 * instead of the four of a loop written by hand, which pays for everything else a consumer does.
 */
import pg, { type PoolClient } from 'pg';
import { HoldfastError, PermanentError } from '../../errors.ts';
import { endBackend, pidOf } from '../../postgres/backend.ts';
import { giveBack, noteSilence, takeConnection } from '../../postgres/checkout.ts';
import type { Database } from '../../postgres/database.ts';
import type { Row, SqlExecutor } from '../../postgres/executor.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import type { Deadlines } from '../../runtime/deadlines.ts';
import { lend } from '../../postgres/lent-client.ts';
import {
  SimulatedCrash,
  type OpenTransaction,
  type Statement,
  type StatementResult,
  type UnitOfWork,
  type UnitOfWorkResult,
} from './unit-of-work.ts';

/** How long transactions of our own may take (parking, claiming for a redrive, pruning a chunk), in milliseconds. */
const OWN_TIMEOUT_MS = 30_000;

/** Clients that have our listener; several consumers may share a pool. */
const watched = new WeakSet<PoolClient>();

export interface PostgresUnitOfWorkOptions {
  readonly database: Database;
  readonly deadlines: Deadlines;
  readonly crash: CrashPoint;
}

export function createPostgresUnitOfWork({
  database,
  deadlines,
  crash,
}: PostgresUnitOfWorkOptions): UnitOfWork<PoolClient> {
  const { pool } = database;

  async function connect(): Promise<PoolClient> {
    const client = await takeConnection(pool);
    // A checked-out client without a listener would end the process when its connection breaks. Queries reject by themselves.
    if (!watched.has(client)) {
      watched.add(client);
      client.on('error', () => {});
    }
    return client;
  }

  /** Settles as the promise does, or rejects when the time is up; the caller then destroys the client. */
  function within<T>(promise: Promise<T>, timeoutMs: number, what: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const cancel = deadlines.add(timeoutMs, () => {
        noteSilence(pool);
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

  async function endSession(client: PoolClient): Promise<void> {
    try {
      await endBackend(database, pidOf(client), { timeoutMs: OWN_TIMEOUT_MS });
    } catch {
      // The connection is cut all the same; its backend ends as soon as it tries to answer.
    }
  }

  return {
    schema: database.schema,

    async run<T>(
      opening: readonly Statement[],
      body: (
        opened: OpenTransaction<PoolClient>,
      ) => Promise<{ readonly end: 'commit' | 'rollback'; readonly value: T }>,
      { timeoutMs, points }: { readonly timeoutMs: number; readonly points: string },
    ): Promise<UnitOfWorkResult<T>> {
      let phase: 'opening' | 'body' | 'commit' = 'opening';
      let client: PoolClient | null = null;
      let released = false;
      // Anything but an orderly end destroys the connection: what state it is in cannot be known. So does a handler that has changed
      // the session: the next one's statements would run in another schema, under another role, or hold its locks.
      let reusable = false;
      const release = (destroy: boolean): void => {
        if (released || client === null) return;
        released = true;
        giveBack(client, destroy);
      };
      try {
        client = await connect();
        const { execute, own } = { execute: executorOf(client), own: client };
        crash(`${points}.begin:before`);
        const results = await within(open(own, opening, timeoutMs), timeoutMs, 'Opening the transaction').catch(
          async (error: unknown) => {
            if (error instanceof HoldfastError) {
              release(true);
              await endSession(own);
            }
            throw error;
          },
        );
        crash(`${points}.begin:after`);
        phase = 'body';
        const sever = async (): Promise<void> => {
          release(true);
          await endSession(own);
        };
        const lent = lend(own);
        const ending = await body({ tx: lent.tx, handle: lent.tx, execute, results, sever }).finally(() =>
          lent.takeBack(),
        );
        if (released) return { kind: 'ended', value: ending.value };
        if (ending.end === 'rollback') {
          await within(own.query('ROLLBACK'), timeoutMs, 'ROLLBACK').then(
            () => (reusable = !lent.leftTraces()),
            () => {},
          );
          return { kind: 'ended', value: ending.value };
        }
        const trouble = lent.trouble() ?? transactionTrouble(own);
        if (trouble !== null) return { kind: 'failed', phase, error: trouble };
        phase = 'commit';
        crash(`${points}.commit:before`);
        const committed = await within(own.query('COMMIT'), timeoutMs, 'COMMIT');
        crash(`${points}.commit:after`);
        if (committed.command !== 'COMMIT') return { kind: 'failed', phase, error: aborted() };
        reusable = !lent.leftTraces();
        return { kind: 'ended', value: ending.value };
      } catch (error) {
        if (error instanceof SimulatedCrash) throw error;
        return { kind: 'failed', phase, error };
      } finally {
        release(!reusable);
      }
    },

    transaction: (fn) => database.transaction((client) => fn(executorOf(client)), { timeoutMs: OWN_TIMEOUT_MS }),
  };
}

function executorOf(client: PoolClient): SqlExecutor {
  return async (sql, parameters) => (await client.query(sql, [...parameters])).rows as readonly Row[];
}

/** A handler may have swallowed an error that aborted the transaction, or have ended the transaction itself. */
function transactionTrouble(client: PoolClient): Error | null {
  const { getTransactionStatus } = client as { readonly getTransactionStatus?: () => string | null };
  switch (typeof getTransactionStatus === 'function' ? getTransactionStatus.call(client) : null) {
    case 'E':
      return aborted();
    case 'I':
      return new PermanentError('The handler ended the transaction that Holdfast had opened for it.', {
        advice: 'Leave BEGIN, COMMIT and ROLLBACK to Holdfast.',
      });
    default:
      return null;
  }
}

function aborted(): HoldfastError {
  return new HoldfastError(
    'HF_TRANSACTION_ABORTED',
    'The handler resolved, but a statement in its transaction had failed, so nothing could be committed.',
    {
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
  let text = `BEGIN;SET LOCAL idle_in_transaction_session_timeout = ${frozenMs}`;
  for (const statement of opening) text += `;${withLiterals(statement)}`;
  // Several statements in one text come back as an array of results, which the driver's types do not say.
  const results = (await client.query(text)) as unknown as DriverResult | readonly DriverResult[];
  if (!Array.isArray(results)) return [];
  return (results as readonly DriverResult[]).slice(2).map(({ rows, rowCount }) => ({ rows, count: rowCount ?? 0 }));
}

interface DriverResult {
  readonly rows: readonly Row[];
  readonly rowCount: number | null;
}

const pieces = new Map<string, readonly string[]>();

/** The simple protocol, which alone takes several statements at once, has no parameters. */
function withLiterals({ sql, parameters }: Statement): string {
  let parts = pieces.get(sql);
  if (parts === undefined) {
    // Odd places hold the numbers of parameters.
    parts = sql.split(/\$(\d+)/);
    pieces.set(sql, parts);
  }
  let text = '';
  for (let index = 0; index < parts.length; index += 1) {
    const part = parts[index] as string;
    text += index % 2 === 0 ? part : literal(parameters[Number(part) - 1] ?? null);
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
