/**
 * Every error Holdfast raises: one class, one code each, and what to do about it.
 * Used everywhere; depends on nothing. docs/errors.md documents each code, and a test checks that it does.
 */

/**
 * The stable codes; match on these, never on messages. Each is documented in docs/errors.md.
 *
 * @example
 * for (const [code, meaning] of Object.entries(ERROR_CODES)) console.log(code, meaning);
 */
export const ERROR_CODES = {
  // configuration and bad input: refused before anything is written
  HF_CONFIG: 'The configuration is not usable.',
  HF_OPTION_UNKNOWN: 'An option is not known.',
  HF_DURATION: 'A duration cannot be read.',
  HF_MESSAGE_TYPE: 'A message type is declared wrongly.',
  HF_PAYLOAD_INVALID: 'A payload does not match its schema.',
  HF_PAYLOAD_NOT_JSON: 'A payload holds a value that JSON cannot carry.',
  HF_PAYLOAD_TEXT: 'A text holds NUL or a lone surrogate, which PostgreSQL cannot store.',
  HF_PAYLOAD_TOO_LARGE: 'A message is over the size limit.',
  HF_KEY_EMPTY: 'A message key is empty.',
  HF_MESSAGE_DUPLICATE: 'A message with this id is in the outbox already.',
  HF_NOT_IN_TRANSACTION: 'The handle is not in an open transaction.',
  HF_TX_UNSUPPORTED: 'The transaction handle is of no known kind.',
  // wire
  HF_ENVELOPE_INVALID: 'A received envelope cannot be decoded.',
  HF_ENVELOPE_VERSION: 'A received envelope has an unknown wire version.',
  HF_MESSAGE_UNVERIFIED: 'A message was not signed as its consumer asks.',
  HF_PAYLOAD_ENCRYPTED: 'A value is encrypted and cannot be opened here, or is not and should be.',
  HF_MESSAGE_VERSION: 'A message has a payload version this process cannot read.',
  // postgres
  HF_SCHEMA_MISSING: 'The Holdfast tables are not there, or too old.',
  HF_SCHEMA_NEWER: 'The Holdfast tables are newer than this package.',
  HF_MIGRATION_CHANGED: 'An applied migration differs from its file.',
  HF_MIGRATION_FAILED: 'A migration failed.',
  HF_SCHEMA_MOVED: 'The functions of the schema write into the tables of another one.',
  HF_ENVIRONMENT: 'The tables belong to another environment.',
  HF_SEQUENCE_BEHIND: 'A sequence is behind the table whose rows it numbers.',
  HF_DATABASE_UNAVAILABLE: 'The database cannot be reached.',
  HF_DATABASE_TLS: 'The encrypted connection to the database is not trusted, or cannot be had.',
  HF_DATABASE_POOLED: 'A pooler gives each transaction another session, and this part needs one of its own.',
  HF_DATABASE_READ_ONLY: 'The database takes no writes: a standby, or a read-only transaction.',
  HF_PERMISSION: 'The role may not do this in the database.',
  HF_TRANSACTION_ABORTED: 'COMMIT rolled back, because a statement had failed before.',
  HF_LOCK_WAIT: 'A lock in the database was not to be had in time.',
  HF_READ_TIMEOUT: 'The database did not read in time.',
  HF_COMMIT_IN_DOUBT: 'The connection broke during COMMIT; the transaction may have been committed.',
  // transport
  HF_TRANSPORT_UNAVAILABLE: 'The broker cannot be reached or refuses all writes.',
  HF_MESSAGE_REFUSED: 'The broker refuses this message.',
  // relay
  HF_LEASE_LOST: 'The lease of a subscription or of a worker was lost.',
  HF_FAILOVER: 'The server is not the one of before, and nothing goes on until a person says so.',
  HF_SHARDS_MISMATCH: 'A subscription is running with another number of shards.',
  HF_SUBSCRIPTION_UNKNOWN: 'No subscription of that name exists.',
  HF_SUBSCRIPTION_HELD: 'A subscription is held by a running relay.',
  HF_PARKED_BUSY: 'A parked message may be on its way just now, and cannot be edited.',
  HF_NOT_FOUND: 'What was asked for does not exist.',
  // consumer
  HF_NO_HANDLER: 'No handler is registered for a topic.',
  HF_HANDLER_TIMEOUT: 'A handler did not finish in time.',
  HF_HANDLER_CUT: 'Each time the connection to the database broke under a handler.',
  HF_CONSUMER_NAME: 'The name of a consumer stands for another one.',
  HF_INBOX_RETENTION: 'Inbox retention is shorter than the redelivery horizon.',
  HF_PERMANENT: 'A failure that no retry can mend.',
  HF_IDEMPOTENCY_CONFLICT: 'An idempotency key was used for another request.',
  HF_IDEMPOTENCY_KEY: 'A request has no idempotency key, or none that can be read.',
  HF_IDEMPOTENCY_UNDER_WAY: 'A request with this idempotency key is being handled.',
  HF_WEBHOOK_UNVERIFIED: 'A webhook was not signed as it must be.',
  // sagas
  HF_SAGA_DEFINITION: 'A saga is declared wrongly.',
  HF_SAGA_UNKNOWN: 'No saga of that name and version is registered.',
  HF_SIGNAL_UNKNOWN: 'A saga declares no signal of that name.',
  HF_SAGA_FINISHED: 'A run has ended already.',
  HF_SAGA_PIVOTED: 'A run has passed its pivot and only goes forward.',
  HF_SAGA_NOT_STUCK: 'A run is not stuck there.',
  HF_SAGA_NOT_ENDED: 'A run has not ended, so it cannot be started once more.',
  HF_SAGA_RESTARTED: 'A run was started once more already.',
  HF_SAGA_UNDONE: 'A run was compensated: it failed, was cancelled or ran out of time.',
  HF_SAGA_STUCK: 'A run is stuck and needs a person.',
  HF_RESULT_TIMEOUT: 'A run did not end within the time that was waited; it goes on.',
  HF_STEP_FAILED: 'A step gave up.',
  HF_STEP_TIMEOUT: 'An attempt of a step did not finish in time; whether it happened is not known.',
  HF_STEP_LOST: 'The worker was lost during an attempt; whether it happened is not known.',
  HF_REJECTED: 'The other side refused for good.',
  HF_NOT_ON_RECORD: 'A compensation asks for what the participant has no record of.',
  HF_REPLY_TOPIC: 'A message asks for its reply on a topic that the participant does not reply on.',
  HF_REPLY_STRAY: 'A reply is for a run that is not in this database.',
  HF_CALL_REPEATED: 'A step was called a second time without an id.',
  HF_NON_DETERMINISM: 'The code of a saga does not do what its journal says it did.',
  HF_OUTSIDE_AWAIT: 'The code of a saga awaits something that is no step.',
  HF_JOURNAL_FULL: 'The next calls of a run would make its journal larger than it may be.',
  HF_SIGNALS_FULL: 'A run keeps as many signals as it may that its code has not waited for.',
  HF_COMMIT_REFUSED: 'What a run wants to record is refused by the database.',
  // processes
  HF_STOPPED: 'The service is stopped.',
  HF_SERVER_MISSING: 'A server needed for tests or the demo cannot be found or started.',
  HF_TEST_UNSETTLED: 'What is under test waits for something that the clock of the test has no part in.',
  // dashboard
  HF_REQUEST: 'A request to the dashboard is not as it must be.',
  HF_LOGIN: 'The dashboard does not know who is asking.',
  HF_LOGIN_LIMIT: 'Too many logins have failed from one address.',
  HF_ROLE: 'The role of who is asking does not allow it.',
  HF_OVERLOADED: 'The dashboard, or its share of the database, has too much to do.',
} as const;

/** A stable code of {@link ERROR_CODES}. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** Options of a {@link HoldfastError}. */
export interface HoldfastErrorOptions {
  /** What the reader can do about it, in one sentence. */
  readonly advice?: string | undefined;
  readonly cause?: unknown;
  /** Facts for programs: names, limits, sizes. Never payloads. */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

/**
 * The one error class of Holdfast. `code` is stable; `message` ends with the advice.
 *
 * @example
 * try {
 *   await migrate(database);
 * } catch (error) {
 *   if (error instanceof HoldfastError) console.error(error.code, error.advice);
 *   throw error;
 * }
 */
export class HoldfastError extends Error {
  override readonly name: string = 'HoldfastError';
  readonly code: ErrorCode;
  readonly advice: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: HoldfastErrorOptions = {}) {
    super(
      options.advice === undefined ? message : `${message} ${options.advice}`,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.code = code;
    this.advice = options.advice;
    this.details = options.details ?? {};
  }
}

/**
 * Throw this from a handler when no retry can help: the message is parked at once.
 *
 * @example
 * const handler = on(OrderPlaced, (order) => {
 *   if (order.total < 0) throw new PermanentError('An order costs no less than nothing.');
 * });
 */
export class PermanentError extends HoldfastError {
  override readonly name = 'PermanentError';
  constructor(message: string, options: HoldfastErrorOptions = {}) {
    super('HF_PERMANENT', message, options);
  }
}

/**
 * A definite no of the business: sold out, card declined. Throw it from a step or a participant's handler: nothing has happened, no
 * retry will help, and nothing needs to be compensated.
 *
 * @example
 * const reserve = step({
 *   run: async (orderId: string) => {
 *     if (orderId === '') throw new Rejection('sold out');
 *     return { shelf: 'a' };
 *   },
 * });
 */
export class Rejection extends HoldfastError {
  override readonly name = 'Rejection';
  /** What the caller can tell refusals apart by, such as 'sold out'. */
  readonly reason: string;
  constructor(reason: string, options: HoldfastErrorOptions = {}) {
    super('HF_REJECTED', reason, { ...options, details: { ...options.details, reason } });
    this.reason = reason;
  }
}

/**
 * True for a HoldfastError, of the given code when one is given. Works across copies of the package.
 *
 * @example
 * const run = await showRun(database, 'no such run').catch((error: unknown) => {
 *   if (isHoldfastError(error, 'HF_NOT_FOUND')) return null;
 *   throw error;
 * });
 */
export function isHoldfastError(error: unknown, code?: ErrorCode): error is HoldfastError {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return false;
  return Object.hasOwn(ERROR_CODES, error.code) && (code === undefined || error.code === code);
}
