/**
 * What an error of the PostgreSQL driver means: the one table of SQLSTATEs. Pure.
 */

import { HoldfastError, isHoldfastError, type ErrorCode } from '../errors.ts';
import { causeOf, isOfPrisma } from './wrapped-error.ts';

/**
 * connection: the connection or the server is gone, reconnect; a statement that was under way may or may not have run.
 * conflict: the transaction was rolled back because of another one, and may be run again at once as it is.
 * busy: the server cannot just now (a lock, a time limit, a full disk, no memory); nothing was done, and it is tried again later.
 * session: the connection lives but is not the one we prepared (a pooler changed it, or a plan is out of date): drop it, take another.
 * read-only: a standby, which may become the primary, or a read-only transaction.
 * schema: the tables are missing or too old. permission: the role may not.
 * data: the server refuses what it was given; the same again is refused again.
 * defect: the statement itself is wrong, whatever data it carries, or comes in a transaction that cannot take it.
 * unknown: the server's word, of a kind that is not in the table. It passes until somebody knows better, and is never held against data.
 * other: not from the driver or the server at all, or said by our own functions (HF001 and following), which the caller reads by sqlStateOf.
 */
export type SqlErrorKind =
  | 'connection'
  | 'conflict'
  | 'busy'
  | 'session'
  | 'read-only'
  | 'schema'
  | 'permission'
  | 'data'
  | 'defect'
  | 'unknown'
  | 'other';

/** What is known of single SQLSTATEs; it comes before what is known of their class. */
const KIND_BY_STATE: Readonly<Record<string, SqlErrorKind>> = {
  '25001': 'defect', // active_sql_transaction
  '25006': 'read-only', // read_only_sql_transaction
  '25P01': 'defect', // no_active_sql_transaction
  '25P02': 'defect', // in_failed_sql_transaction: what failed before is the reason
  '25P03': 'connection', // idle_in_transaction_session_timeout
  '25P04': 'connection', // transaction_timeout
  '26000': 'session', // invalid_sql_statement_name: it was prepared on another connection
  '0A000': 'defect', // feature_not_supported; see STALE_PLAN
  '21000': 'defect', // cardinality_violation
  '3D000': 'schema', // invalid_catalog_name: there is no such database
  '3F000': 'schema', // invalid_schema_name
  '40002': 'data', // transaction_integrity_constraint_violation
  '40003': 'connection', // statement_completion_unknown
  '42501': 'permission', // insufficient_privilege
  '42703': 'schema', // undefined_column
  '42704': 'schema', // undefined_object
  '42883': 'schema', // undefined_function
  '42P01': 'schema', // undefined_table
  '42P05': 'session', // duplicate_prepared_statement: it was prepared by whoever had this connection before
  '55006': 'busy', // object_in_use
  '55P03': 'busy', // lock_not_available
  '57014': 'busy', // query_canceled: statement_timeout, or a person
  '57P01': 'connection', // admin_shutdown
  '57P02': 'connection', // crash_shutdown
  '57P03': 'connection', // cannot_connect_now
  '57P04': 'connection', // database_dropped
  '57P05': 'connection', // idle_session_timeout
  '72000': 'conflict', // snapshot_too_old
};

const KIND_BY_CLASS: Readonly<Record<string, SqlErrorKind>> = {
  '08': 'connection', // connection exceptions
  '22': 'data', // data exceptions
  '23': 'data', // integrity constraints
  '24': 'defect', // invalid cursor state
  '28': 'permission', // invalid authorization: wrong password, pg_hba.conf
  '34': 'defect', // invalid cursor name
  '3B': 'defect', // savepoints
  '40': 'conflict', // transaction rollback: serialization failure, deadlock
  '42': 'defect', // syntax errors and access rules
  '44': 'data', // WITH CHECK OPTION
  '53': 'busy', // insufficient resources: too many connections, disk full, out of memory
  '54': 'data', // program limits: a row or an index entry that is too large, JSON that is too deep
  '58': 'busy', // the system below PostgreSQL: input and output
  HF: 'other', // our own functions
  P0: 'data', // RAISE in somebody's trigger or function
};

const PASSING: ReadonlySet<SqlErrorKind> = new Set([
  'connection',
  'conflict',
  'busy',
  'session',
  'read-only',
  'unknown',
]);

/** invalid_catalog_name: the server is there, and the database is not. */
export const NO_DATABASE = '3D000';

/** What PostgreSQL says of a prepared statement whose tables were changed; its SQLSTATE is 0A000. */
const STALE_PLAN = /^cached plan must not change result type/;

const SYSTEM_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ERR_STREAM_DESTROYED',
  'ERR_STREAM_WRITE_AFTER_END',
  // postgres.js
  'CONNECTION_CLOSED',
  'CONNECTION_DESTROYED',
  'CONNECTION_ENDED',
  'CONNECT_TIMEOUT',
]);

/** What node-postgres says without any code. */
const CONNECTION_MESSAGES =
  /^(Connection terminated|timeout exceeded when trying to connect|timeout expired|Query read timeout|Client has encountered a connection error|Client was closed and is not queryable)/;

/** What these are caused by, a refused connection say, is not the database's. */
const SPEAKS_OF_OTHERS: ReadonlySet<ErrorCode> = new Set([
  'HF_PERMANENT',
  'HF_REJECTED',
  'HF_TRANSPORT_UNAVAILABLE',
  'HF_MESSAGE_REFUSED',
]);

/** Libraries wrap the driver's error; deeper than this nobody does. */
const MAX_CAUSES = 5;

/** Never throws. A PermanentError or a Rejection is meant, and trouble of a broker is the broker's, whatever the cause was: 'other'. */
export function classifySqlError(error: unknown): SqlErrorKind {
  for (const each of causes(error)) {
    const kind = classifyOne(each);
    if (kind !== 'other') return kind;
  }
  return 'other';
}

/** Trouble that goes by itself: of the infrastructure, of a conflict, or unknown. Nothing of it speaks against data or code. */
export function passesByItself(error: unknown): boolean {
  return PASSING.has(classifySqlError(error));
}

/**
 * Whether the server ended a transaction that waited for this process (idle_in_transaction_session_timeout), whose next statement or COMMIT
 * found the connection gone. The driver does not always hand on what the server said, so any connection that ended between two statements
 * counts. Not one that could not be made.
 */
export function isEndedForStandingStill(error: unknown): boolean {
  if (isHoldfastError(error, 'HF_COMMIT_IN_DOUBT') || sqlStateOf(error) === '25P03') return true;
  for (const each of causes(error)) if (each instanceof Error && ENDED_BETWEEN.test(each.message)) return true;
  return false;
}

/** What node-postgres says to a statement for a connection that has ended before it. */
const ENDED_BETWEEN = /^(Client has encountered a connection error|Client was closed and is not queryable)/;

/** The five-character SQLSTATE of a server error, also of a wrapped one, or undefined. */
export function sqlStateOf(error: unknown): string | undefined {
  for (const each of causes(error)) {
    const state = stateOfOne(each);
    if (state !== undefined) return state;
  }
  return undefined;
}

/** A HoldfastError with advice where more is known than the driver's message says; otherwise the error itself. */
export function translateSqlError(error: unknown): Error {
  if (!(error instanceof Error)) return new Error(String(error));
  if (isHoldfastError(error)) return error;
  const options = { cause: error, details: { sqlState: sqlStateOf(error) ?? null } };
  if (isTlsError(error)) {
    return new HoldfastError('HF_DATABASE_TLS', `The encrypted connection to PostgreSQL fails: ${messageOf(error)}.`, {
      ...options,
      advice:
        "Give the certificate of its authority (sslrootcert=/path/ca.pem in the URL) or mend the server's; sslmode=no-verify encrypts without knowing to whom, sslmode=disable not at all.",
    });
  }
  switch (classifySqlError(error)) {
    case 'connection':
      return new HoldfastError('HF_DATABASE_UNAVAILABLE', `PostgreSQL cannot be reached: ${messageOf(error)}.`, {
        ...options,
        advice: 'Check that the server runs and that host, port and network are right.',
      });
    case 'schema':
      if (sqlStateOf(error) === NO_DATABASE) {
        return new HoldfastError('HF_DATABASE_UNAVAILABLE', `PostgreSQL answers, but ${messageOf(error)}.`, {
          ...options,
          advice: 'Check the name at the end of the database URL, or create it (createdb).',
        });
      }
      return new HoldfastError(
        'HF_SCHEMA_MISSING',
        `The Holdfast tables are missing or too old: ${messageOf(error)}.`,
        {
          ...options,
          advice: 'Run `holdfast migrate` on this database, and check that the configured schema is the right one.',
        },
      );
    case 'permission':
      return new HoldfastError('HF_PERMISSION', `PostgreSQL refuses the role: ${messageOf(error)}.`, {
        ...options,
        advice: 'Check user and password, and grant the role its rights on the Holdfast schema.',
      });
    case 'read-only':
      return new HoldfastError('HF_DATABASE_READ_ONLY', `The database takes no writes: ${messageOf(error)}.`, {
        ...options,
        advice:
          'Connect to the server that takes writes (by a name or proxy that follows the primary: the driver looks for none), in a transaction that is not READ ONLY.',
      });
    case 'conflict':
    case 'busy':
    case 'session':
    case 'data':
    case 'defect':
    case 'unknown':
    case 'other':
      return error;
  }
}

/** Codes of Node's TLS, and what the driver says when the server knows none. */
function isTlsError(error: unknown): boolean {
  for (const each of causes(error)) {
    const code = 'code' in each && typeof each.code === 'string' ? each.code : '';
    if (/^(?:ERR_(?:TLS|SSL)_|DEPTH_ZERO_SELF_SIGNED|SELF_SIGNED_CERT|UNABLE_TO_(?:VERIFY|GET)_|CERT_)/.test(code))
      return true;
    if (each.message.startsWith('The server does not support SSL connections')) return true;
  }
  return false;
}

function classifyOne(error: Error): SqlErrorKind {
  const state = stateOfOne(error);
  if (state !== undefined) {
    if (state === '0A000' && STALE_PLAN.test(error.message)) return 'session';
    return KIND_BY_STATE[state] ?? KIND_BY_CLASS[state.slice(0, 2)] ?? 'unknown';
  }
  if (isHoldfastError(error, 'HF_DATABASE_UNAVAILABLE')) return 'connection';
  const code = 'code' in error ? error.code : undefined;
  if (typeof code === 'string') {
    // ENOENT is a connection error only when it is a Unix socket that is not there.
    if (SYSTEM_CODES.has(code) || (code === 'ENOENT' && 'syscall' in error && error.syscall === 'connect'))
      return 'connection';
  }
  return CONNECTION_MESSAGES.test(error.message) ? 'connection' : 'other';
}

function stateOfOne(error: Error): string | undefined {
  // Errors of the operating system have codes as well, some of them with five letters (EPIPE), but also a syscall.
  if (!('code' in error) || typeof error.code !== 'string' || 'syscall' in error || isOfPrisma(error)) return undefined;
  return /^[0-9A-Z]{5}$/.test(error.code) && !SYSTEM_CODES.has(error.code) ? error.code : undefined;
}

function* causes(error: unknown): Generator<Error> {
  let current = error;
  for (let depth = 0; depth < MAX_CAUSES && current instanceof Error; depth++) {
    if (isHoldfastError(current) && SPEAKS_OF_OTHERS.has(current.code)) return;
    yield current;
    // Several addresses of one host, all refused.
    if (current instanceof AggregateError) yield* current.errors.filter((each) => each instanceof Error);
    current = causeOf(current);
  }
}

function messageOf(error: Error): string {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : undefined;
  const message = error.message === '' && first instanceof Error ? first.message : error.message;
  return message.replace(/\.$/, '');
}
