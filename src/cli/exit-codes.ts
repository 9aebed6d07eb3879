/**
 * How the command ends. Documented in docs/operations.md; scripts rely on it.
 */
import { isHoldfastError, type ErrorCode } from '../errors.ts';
import { sqlStateOf } from '../postgres/sql-state.ts';

export const EXIT = {
  ok: 0,
  /** Something nobody foresaw, or a service that failed. */
  unexpected: 1,
  /** Wrong usage or configuration, or what was asked for does not exist or cannot be done in its state. */
  usage: 2,
  /** The database cannot be reached, or its tables are missing or of another version. */
  database: 3,
  /** Stopped before all was drained: the deadline passed, or a second signal came. */
  forced: 4,
  /** `doctor` found errors, or `migrate status --check` pending migrations. */
  findings: 10,
} as const;

const USAGE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'HF_CONFIG',
  'HF_OPTION_UNKNOWN',
  'HF_DURATION',
  'HF_NOT_FOUND',
  'HF_SUBSCRIPTION_UNKNOWN',
  'HF_SUBSCRIPTION_HELD',
  'HF_PARKED_BUSY',
  'HF_SHARDS_MISMATCH',
  'HF_PAYLOAD_INVALID',
  'HF_PAYLOAD_NOT_JSON',
  'HF_PAYLOAD_TEXT',
  'HF_PAYLOAD_TOO_LARGE',
  'HF_KEY_EMPTY',
  'HF_SAGA_DEFINITION',
  'HF_SAGA_UNKNOWN',
  'HF_SIGNAL_UNKNOWN',
  'HF_SAGA_FINISHED',
  'HF_SAGA_PIVOTED',
  'HF_SAGA_NOT_STUCK',
  'HF_SAGA_NOT_ENDED',
  'HF_SAGA_RESTARTED',
]);

const DATABASE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'HF_SCHEMA_MISSING',
  'HF_SCHEMA_MOVED',
  'HF_SEQUENCE_BEHIND',
  'HF_ENVIRONMENT',
  'HF_FAILOVER',
  'HF_SCHEMA_NEWER',
  'HF_MIGRATION_CHANGED',
  'HF_MIGRATION_FAILED',
  'HF_DATABASE_UNAVAILABLE',
  'HF_DATABASE_TLS',
  'HF_DATABASE_POOLED',
  'HF_DATABASE_READ_ONLY',
  'HF_PERMISSION',
  'HF_COMMIT_IN_DOUBT',
  'HF_LOCK_WAIT',
  'HF_READ_TIMEOUT',
  'HF_SERVER_MISSING',
]);

/** Pure. */
export function exitCodeOf(error: unknown): number {
  if (!isHoldfastError(error)) return sqlStateOf(error) === undefined ? EXIT.unexpected : EXIT.database;
  if (USAGE.has(error.code)) return EXIT.usage;
  return DATABASE.has(error.code) ? EXIT.database : EXIT.unexpected;
}
