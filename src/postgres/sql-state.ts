/**
 * What an error of the PostgreSQL driver means. Pure; used by whatever decides on retrying, reconnecting or explaining.
 */

import { HoldfastError, isHoldfastError } from '../errors.ts';

/**
 * connection: the connection or the server is gone, reconnect; a statement that was under way may or may not have run.
 * retry: the transaction was rolled back and may be run again as it is (serialization, deadlock, lock timeout, resources).
 * schema: the tables are missing or too old. permission: the role may not. read-only: a standby or read-only transaction.
 */
export type SqlErrorKind = 'connection' | 'retry' | 'schema' | 'permission' | 'read-only' | 'other';

const KIND_BY_STATE: Readonly<Record<string, SqlErrorKind>> = {
  '57P01': 'connection', // admin_shutdown
  '57P02': 'connection', // crash_shutdown
  '57P03': 'connection', // cannot_connect_now
  '57P05': 'connection', // idle_session_timeout
  '25P03': 'connection', // idle_in_transaction_session_timeout
  '25P04': 'connection', // transaction_timeout
  '40001': 'retry', // serialization_failure
  '40P01': 'retry', // deadlock_detected
  '55P03': 'retry', // lock_not_available
  '42P01': 'schema', // undefined_table
  '42883': 'schema', // undefined_function
  '42703': 'schema', // undefined_column
  '3F000': 'schema', // invalid_schema_name
  '42501': 'permission', // insufficient_privilege
  '25006': 'read-only', // read_only_sql_transaction
};

const KIND_BY_CLASS: Readonly<Record<string, SqlErrorKind>> = {
  '08': 'connection', // connection exceptions
  '53': 'retry', // insufficient resources: too many connections, disk full, out of memory
  '28': 'permission', // invalid authorization: wrong password, pg_hba.conf
};

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
]);

/** What node-postgres says without any code. */
const CONNECTION_MESSAGES =
  /^(Connection terminated|timeout exceeded when trying to connect|timeout expired|Query read timeout|Client has encountered a connection error|Client was closed and is not queryable)/;

/** Libraries wrap the driver's error; deeper than this nobody does. */
const MAX_CAUSES = 5;

/** Never throws; anything that is no error of the driver is 'other'. */
export function classifySqlError(error: unknown): SqlErrorKind {
  for (const each of causes(error)) {
    const kind = classifyOne(each);
    if (kind !== 'other') return kind;
  }
  return 'other';
}

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
  switch (classifySqlError(error)) {
    case 'connection':
      return new HoldfastError('HF_DATABASE_UNAVAILABLE', `PostgreSQL cannot be reached: ${messageOf(error)}.`, {
        ...options,
        advice: 'Check that the server runs and that host, port and network are right.',
      });
    case 'schema':
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
          'Connect to the primary (target_session_attrs=read-write), not to a standby, in a transaction that is not READ ONLY.',
      });
    case 'retry':
    case 'other':
      return error;
  }
}

function classifyOne(error: Error): SqlErrorKind {
  const state = stateOfOne(error);
  if (state !== undefined) return KIND_BY_STATE[state] ?? KIND_BY_CLASS[state.slice(0, 2)] ?? 'other';
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
  if (!('code' in error) || typeof error.code !== 'string' || 'syscall' in error) return undefined;
  return /^[0-9A-Z]{5}$/.test(error.code) && !SYSTEM_CODES.has(error.code) ? error.code : undefined;
}

function* causes(error: unknown): Generator<Error> {
  let current = error;
  for (let depth = 0; depth < MAX_CAUSES && current instanceof Error; depth++) {
    yield current;
    // Several addresses of one host, all refused.
    if (current instanceof AggregateError) yield* current.errors.filter((each) => each instanceof Error);
    current = current.cause;
  }
}

function messageOf(error: Error): string {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : undefined;
  const message = error.message === '' && first instanceof Error ? first.message : error.message;
  return message.replace(/\.$/, '');
}
