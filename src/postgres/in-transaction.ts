/**
 * Calls of SQL functions that write in the caller's transaction, and the proof that there is one.
 */
import { HoldfastError } from '../errors.ts';
import { atHomeSql, notAtHome } from './at-home.ts';
import type { OpenTransaction } from './executor.ts';
import { quoteIdentifier } from './quoting.ts';
import { classifySqlError, sqlStateOf, translateSqlError } from './sql-state.ts';
import { isOfPrisma } from './wrapped-error.ts';

/** The same call in two forms: for a handle that shows an open transaction, and for asking the database. */
export interface TransactionalCall {
  readonly schema: string;
  readonly shown: string;
  readonly asking: string;
  /** The same with a check before it: fails when the functions of this schema write into another one. For the first call. */
  readonly guarded: { readonly shown: string; readonly asking: string };
  /** Also of a handle that shows its transaction: for a function that does something else in the caller's transaction. */
  readonly asksAlways: boolean;
  /** Set once the database has answered it. */
  atHome: boolean;
}

export interface TransactionalCallOptions {
  /** A cast of what it returns: drivers and ORMs differ in what they make of anything but texts and booleans. Default: none. */
  readonly result?: '' | '::text';
  /** As in TransactionalCall. Default false. */
  readonly asksAlways?: boolean;
}

/** A call of a function whose last parameter is `require_transaction`. `casts` are the types of the others. */
export function transactionalCall(
  schema: string,
  name: string,
  casts: readonly string[],
  { result = '', asksAlways = false }: TransactionalCallOptions = {},
): TransactionalCall {
  const call = (parameters: readonly string[], required: boolean): string =>
    `${quoteIdentifier(schema)}.${name}(${[...parameters, required].join(', ')})${result}`;
  // Only node-postgres shows its transactions, and it leaves the types of parameters to the server: no casts to plan.
  const shown = call(
    casts.map((_, index) => `$${index + 1}`),
    false,
  );
  // Here every parameter is a text, cast in the statement: drivers and ORMs differ in what they make of anything else.
  const texts = casts.map((cast, index) => `$${index + 1}::text${cast === 'text' ? '' : `::${cast}`}`);
  // So is the answer: a client whose parser gives 'f' for false would otherwise be told that something was written.
  const asking = `${call(texts, true)}${result === '' ? '::text' : ''}`;
  const plain = (expression: string): string => `SELECT ${expression} AS answer`;
  const guarded = (expression: string): string =>
    `SELECT CASE WHEN ${atHomeSql(schema)} THEN ${expression} END AS answer`;
  return {
    schema,
    shown: plain(shown),
    asking: plain(asking),
    guarded: { shown: guarded(shown), asking: guarded(asking) },
    asksAlways,
    atHome: false,
  };
}

/**
 * What the function answered. Nothing tells in SQL whether a statement is in an explicit transaction, so a function that finds no xid
 * takes one, writes nothing, and answers false or null: twice that means that each call was a transaction of its own.
 * Rejects with HF_NOT_IN_TRANSACTION, HF_TX_UNSUPPORTED, HF_SCHEMA_MOVED, or what explainInTransaction makes of the driver's error.
 * @param refused explains an error in another way; undefined leaves it to explainInTransaction
 */
export async function callInTransaction(
  transaction: OpenTransaction,
  call: TransactionalCall,
  parameters: readonly unknown[],
  refused: (error: unknown) => Error | undefined = () => undefined,
): Promise<unknown> {
  try {
    // Asked just before the statement: validation may have taken a while.
    const shown = transaction.showsTransaction() && !call.asksAlways;
    for (let turn = 1; turn <= 2; turn++) {
      const forms = call.atHome ? call : call.guarded;
      const [row] = await transaction.execute(shown ? forms.shown : forms.asking, parameters);
      const answer = row?.['answer'];
      call.atHome = true;
      if (answer !== undefined && answer !== null && answer !== false && answer !== 'false') return answer;
      if (answer === undefined || shown) {
        throw new HoldfastError('HF_TX_UNSUPPORTED', 'The executor did not return the row of its statement.', {
          advice: 'It must resolve with the rows, as an array of objects: [{ answer: … }].',
        });
      }
    }
  } catch (error) {
    throw refused(error) ?? notAtHome(error, call.schema) ?? explainInTransaction(error);
  }
  throw new HoldfastError('HF_NOT_IN_TRANSACTION', 'The handle runs each statement in a transaction of its own.', {
    advice: 'Open a transaction and pass its handle, so that both this and your change commit, or neither.',
  });
}

function explainInTransaction(error: unknown): Error {
  if (sqlStateOf(error) === '25P02') {
    return new HoldfastError(
      'HF_NOT_IN_TRANSACTION',
      'The transaction is aborted: a statement in it has failed, and it can only be rolled back.',
      {
        advice: 'Roll back, or use a savepoint around statements that may fail.',
        cause: error,
      },
    );
  }
  const translated = translateSqlError(error);
  if (classifySqlError(error) !== 'other' || !saysEnded(translated)) return translated;
  const message = isOfPrisma(translated) ? 'The transaction of Prisma has ended' : translated.message;
  return new HoldfastError('HF_NOT_IN_TRANSACTION', `${message}.`, {
    advice: 'Use it before you end the transaction, and before its time is up.',
    cause: error,
  });
}

/** Kysely and Prisma refuse by themselves what has ended, the one with a plain Error. */
function saysEnded(error: Error): boolean {
  if (isOfPrisma(error)) return 'code' in error && error.code === 'P2028';
  return /^Transaction is already (committed|rolled back)$/.test(error.message);
}
