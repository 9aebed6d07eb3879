/**
 * `holdfast/http`: idempotency keys for HTTP, by the IETF draft "The Idempotency-Key HTTP Header Field". Free of any framework: a request
 * and its handler come in, what is to be sent comes out. The effect of the handler and its answer are one commit, so whoever has lost the
 * answer asks again and gets it, and the effect is there once.
 */
import type { PoolClient } from 'pg';
import { createPostgresUnitOfWork } from '../../inbox/handlers/postgres-unit-of-work.ts';
import { createRunnerUnitOfWork } from '../../inbox/handlers/runner-unit-of-work.ts';
import { guardCrashPoint, type UnitOfWork } from '../../inbox/handlers/unit-of-work.ts';
import type { Database } from '../../postgres/database.ts';
import type { PayloadCodec } from '../../message/codec.ts';
import { assertSchemaName, DEFAULT_SCHEMA } from '../../postgres/quoting.ts';
import { checkRunner, type Runner } from '../../postgres/runner.ts';
import { systemClock, type Clock } from '../../runtime/clock.ts';
import { noCrash, type CrashPoint } from '../../runtime/crash-point.ts';
import { createDeadlines } from '../../runtime/deadlines.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import type { Logger } from '../../runtime/log.ts';
import { safeLogger } from '../../runtime/observers.ts';
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';
import type { IdempotentAnswer } from './answer.ts';
import { answerOnce, type AnswerTools, type IdempotentHandler } from './answer-once.ts';
import type { IdempotentRequest } from './idempotency-key.ts';
import { createKeyPruner } from './key-pruner.ts';
import { isFinalStatus } from './stored-answer.ts';

export { jsonAnswer, sendAnswer, type AnswerHeaders, type HttpAnswer, type IdempotentAnswer } from './answer.ts';
export type { IdempotentContext, IdempotentHandler } from './answer-once.ts';
export type { IdempotentRequest } from './idempotency-key.ts';
export { createServiceGroup, type ServiceGroup, type ServiceGroupOptions } from '../services/service-group.ts';
export type { GroupHealth } from '../services/group-health.ts';

/** Options that every `createHttpIdempotency` takes. */
export interface CommonHttpIdempotencyOptions {
  /**
   * Whether a request without a key is refused (400). Else it is handled, in a transaction as well, and nothing is stored.
   *
   * @defaultValue true
   */
  readonly required?: boolean | undefined;
  /**
   * Longest run of a handler. Then it is rolled back, and 503 is the answer.
   *
   * @defaultValue '30s'
   */
  readonly timeout?: Duration | undefined;
  /**
   * How long a stored answer is kept at least. Any running consumer of the database prunes as well, after its own
   * `idempotencyRetention`: the shorter one counts.
   *
   * @defaultValue '24h'
   */
  readonly retention?: Duration | undefined;
  /**
   * Most bytes of the body of an answer. A longer one is an error of the handler, whose effect is rolled back.
   *
   * @defaultValue 1 MiB
   */
  readonly maxBytes?: number | undefined;
  /**
   * Whether an answer with this status is final: stored, and what its handler wrote committed. Else nothing is stored, the handler is
   * rolled back, and runs again when the request is repeated.
   *
   * @defaultValue below 500, and none of 401, 403, 407, 408, 425 and 429
   */
  readonly isFinal?: ((status: number) => boolean) | undefined;
  /**
   * Keeps answers encrypted, and what tells requests apart. All processes of the service need it: one without it, or without the key, answers
   * 503 to a request whose first one another has answered.
   *
   * @defaultValue kept as they are
   */
  readonly codec?: PayloadCodec | undefined;
  readonly log?: Logger | undefined;
  /** @internal A seam of tests. */
  readonly clock?: Clock | undefined;
  /** @internal A seam of tests. */
  readonly crashPoint?: CrashPoint | undefined;
}

/** Options of a `createHttpIdempotency` whose handlers get a client of node-postgres. */
export interface DatabaseHttpIdempotencyOptions extends CommonHttpIdempotencyOptions {
  /** Where answers and effects are. Handlers get a PoolClient. */
  readonly database: Database;
}

/** Options of a `createHttpIdempotency` whose handlers get a transaction of your own client or ORM. */
export interface RunnerHttpIdempotencyOptions<Tx> extends CommonHttpIdempotencyOptions {
  /** How to open a transaction with your own client or ORM. Handlers get what it opens. */
  readonly runner: Runner<Tx>;
  /**
   * Schema of the Holdfast tables.
   *
   * @defaultValue 'holdfast'
   */
  readonly schema?: string | undefined;
}

/** Handles requests with idempotency keys. Made by `createHttpIdempotency`. */
export interface HttpIdempotency<Tx> {
  /** Most bytes of the body of an answer. */
  readonly maxBytes: number;
  /**
   * What is to be sent for a request. `handler` runs in a transaction of its own, once for each key; its answer and its effect commit
   * together, before this resolves. A repeated request gets the stored answer, with the header `idempotent-replayed: true`.
   *
   * Refused, with the answer to send: 400 (no key, or none that can be read), 409 (the first request with this key is under way), 422 (the
   * key was used for another request), 503 (the database cannot be reached, or nobody knows whether it has committed: the same request
   * with the same key finds out; or the handler's time was up; or what is kept is encrypted, and this process cannot open it).
   *
   * Rejects with what the handler throws, after it was rolled back: nothing is stored.
   *
   * @throws HoldfastError HF_PAYLOAD_TOO_LARGE and HF_CONFIG for an answer that cannot be stored, HF_TRANSACTION_ABORTED, HF_SCHEMA_MISSING
   */
  answer(request: IdempotentRequest, handler: IdempotentHandler<Tx>): Promise<IdempotentAnswer>;
  /** Deletes answers that are older than `retention`, now. By itself it does so now and then, after an answer. Resolves with how many. */
  prune(): Promise<number>;
}

const KNOWN_OPTIONS = [
  'database',
  'runner',
  'schema',
  'required',
  'timeout',
  'retention',
  'maxBytes',
  'isFinal',
  'codec',
  'log',
  'clock',
  'crashPoint',
];

const WHERE = 'createHttpIdempotency';

/**
 * Idempotency keys for the handlers of an HTTP service. Opens nothing before the first request.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION
 * @example
 * import { createServer } from 'node:http';
 *
 * const idempotency = createHttpIdempotency({ database });
 * createServer(async (request, response) => {
 *   const { method = 'GET', url = '/', headers } = request;
 *   const asked = { method, url, key: headers['idempotency-key'], scope: 'all', body: null };
 *   const answer = await idempotency.answer(asked, async ({ tx, handle }) => {
 *     await tx.query('INSERT INTO orders (id) VALUES ($1)', ['o-1']);
 *     await outbox.send(handle, OrderPlaced, { orderId: 'o-1', total: 42 });
 *     return jsonAnswer(201, { orderId: 'o-1' });
 *   });
 *   sendAnswer(response, answer);
 * });
 */
export function createHttpIdempotency(options: DatabaseHttpIdempotencyOptions): HttpIdempotency<PoolClient>;
/** With a runner, handlers get what it opens. */
export function createHttpIdempotency<Tx>(options: RunnerHttpIdempotencyOptions<Tx>): HttpIdempotency<Tx>;
export function createHttpIdempotency<Tx>(
  options: DatabaseHttpIdempotencyOptions | RunnerHttpIdempotencyOptions<Tx>,
): HttpIdempotency<Tx> {
  refuseUnknownOptions(options, KNOWN_OPTIONS, WHERE);
  const {
    required = true,
    timeout = '30s',
    retention = '24h',
    maxBytes = 1_048_576,
    isFinal = isFinalStatus,
  } = options;
  if (!Number.isInteger(maxBytes) || maxBytes < 1)
    throw badOption(WHERE, `has maxBytes ${maxBytes}`, 'Give a number of bytes.');
  if (typeof isFinal !== 'function')
    throw badOption(WHERE, 'has an isFinal that is no function', 'Give (status) => boolean.');
  const timeoutMs = parseDuration(timeout, `${WHERE}.timeout`);
  if (timeoutMs === 0) throw badOption(WHERE, 'has a timeout of nothing', "Give one such as '30s'.");
  const clock = options.clock ?? systemClock;
  const deadlines = createDeadlines(clock);
  const crash = guardCrashPoint(options.crashPoint ?? noCrash);
  const log = safeLogger(options.log);
  const work = workOf(options, { deadlines, crash });
  const pruner = createKeyPruner({ work, retentionMs: parseDuration(retention, `${WHERE}.retention`), clock, log });
  const tools: AnswerTools<Tx> = {
    work,
    required,
    timeoutMs,
    maxBytes,
    codec: options.codec ?? null,
    isFinal,
    deadlines,
    crash,
    underWay: new Set(),
  };

  return {
    maxBytes,
    async answer(request, handler) {
      try {
        const answer = await answerOnce(tools, request, handler);
        if (answer.refusal === null) pruner.remind();
        return answer;
      } finally {
        // Nothing of ours is to keep the process from ending.
        deadlines.close();
      }
    },
    prune: () => pruner.prune(),
  };
}

type WorkTools = Pick<AnswerTools<unknown>, 'deadlines' | 'crash'>;

function workOf<Tx>(
  options: DatabaseHttpIdempotencyOptions | RunnerHttpIdempotencyOptions<Tx>,
  { deadlines, crash }: WorkTools,
): UnitOfWork<Tx> {
  if ('database' in options && 'runner' in options)
    throw badOption(WHERE, 'has both database and runner', 'Give the one that handlers are to write through.');
  if ('runner' in options) {
    const { runner, schema = DEFAULT_SCHEMA } = options;
    checkRunner(WHERE, runner);
    return createRunnerUnitOfWork({ runner, schema: assertSchemaName(schema), crash });
  }
  const { database } = options;
  if (typeof database?.transaction !== 'function')
    throw badOption(WHERE, 'has no database', 'Give database: openDatabase({ url }), or a runner.');
  // What a Database opens is a PoolClient, and Tx is that where one is given: see the overloads.
  return createPostgresUnitOfWork({ database, deadlines, crash }) as UnitOfWork<unknown> as UnitOfWork<Tx>;
}
