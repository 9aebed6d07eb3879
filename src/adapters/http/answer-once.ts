/**
 * One request with an idempotency key: the transaction around its handler, what is found under the key, and what each failure means.
 *
 * Who dies before COMMIT leaves nothing, and the repeated request runs the handler; who dies after it has left the answer. A connection
 * that breaks during COMMIT leaves one of the two, and the client, told to ask again, gets whichever it is.
 */
import { createHash } from 'node:crypto';
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import {
  SimulatedCrash,
  type OpenUnitOfWork,
  type Statement,
  type TransactionEnd,
  type UnitOfWork,
  type UnitOfWorkResult,
} from '../../inbox/handlers/unit-of-work.ts';
import { idempotent } from '../../inbox/idempotency/idempotency.ts';
import type { PayloadCodec } from '../../message/codec.ts';
import { isTooDeep } from '../../message/json-limits.ts';
import type { TransactionHandle } from '../../postgres/executor.ts';
import { classifySqlError, passesByItself, translateSqlError } from '../../postgres/sql-state.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import { badOption } from '../../runtime/options.ts';
import { refusalAnswer, type HttpAnswer, type IdempotentAnswer } from './answer.ts';
import { readIdempotencyKey, requestFingerprint, storedKeyOf, type IdempotentRequest } from './idempotency-key.ts';
import { runLimited, type HandlerLimit } from './limited-handler.ts';
import { readStoredAnswer, storeAnswer, type StoredHttpAnswer } from './stored-answer.ts';

/** What the handler of a request with an idempotency key is given. */
export interface IdempotentContext<Tx> {
  /** The transaction that commits with the answer. Do not end it yourself, and use it no longer than the handler runs. */
  readonly tx: Tx;
  /** The same as `outbox.send` and `sagas.start` take it. */
  readonly handle: TransactionHandle;
  /** What the client chose; null: it sent none, and none is required. */
  readonly key: string | null;
  /** Aborts when the handler's time is up. */
  readonly signal: AbortSignal;
}

/** Answers one request. It is run once for each key. */
export type IdempotentHandler<Tx> = (context: IdempotentContext<Tx>) => Promise<HttpAnswer> | HttpAnswer;

/** What the requests of one HttpIdempotency share. */
export interface AnswerTools<Tx> extends HandlerLimit {
  readonly work: UnitOfWork<Tx>;
  readonly required: boolean;
  readonly maxBytes: number;
  /** null: answers are kept as they are. */
  readonly codec: PayloadCodec | null;
  readonly isFinal: (status: number) => boolean;
  readonly crash: CrashPoint;
  /** Stored keys whose handlers run in this process: who asks meanwhile takes no connection. */
  readonly underWay: Set<string>;
}

/** What came of one transaction. */
type Turn =
  | { readonly kind: 'answered'; readonly answer: HttpAnswer; readonly replayed: boolean }
  | { readonly kind: 'under way' }
  | { readonly kind: 'timeout'; readonly error: HoldfastError }
  /** `while`: what was being done. claiming: nothing of the handler has run. */
  | { readonly kind: 'threw'; readonly error: unknown; readonly while: 'claiming' | 'handling' | 'storing' };

/** Out of the handler's place in `idempotent`, which is to store nothing. */
class HandlerEnded extends Error {
  readonly turn: Turn;
  constructor(turn: Turn) {
    super('nothing is to be stored');
    this.turn = turn;
  }
}

/** When the key was pruned, or claimed by another one, at that very moment. */
const MOST_TURNS = 3;

export async function answerOnce<Tx>(
  tools: AnswerTools<Tx>,
  request: IdempotentRequest,
  handler: IdempotentHandler<Tx>,
): Promise<IdempotentAnswer> {
  if (typeof request.scope !== 'string' || request.scope === '')
    throw badOption(
      'The scope of an idempotency key',
      'is no text',
      'Give what tells your users apart, such as their id.',
    );
  let key: string | null;
  try {
    key = readIdempotencyKey(request.key);
    if (key === null && tools.required) throw missingKey();
    if (isTooDeep(request.body)) throw tooDeep();
  } catch (error) {
    if (isHoldfastError(error)) return refusalAnswer(400, 'Bad Request', error);
    throw error;
  }
  if (key === null) return answerOf(await withoutKey(tools, handler)) ?? underWay();

  const storedKey = storedKeyOf(request, key);
  const claim: Claim = { key, storedKey, fingerprint: requestFingerprint(request) };
  if (tools.underWay.has(storedKey)) return underWay();
  tools.underWay.add(storedKey);
  try {
    for (let turn = 0; turn < MOST_TURNS; turn += 1) {
      const answer = answerOf(await withKey(tools, claim, handler));
      if (answer !== null) return answer;
    }
    return underWay();
  } finally {
    tools.underWay.delete(storedKey);
  }
}

interface Claim {
  readonly key: string;
  readonly storedKey: string;
  readonly fingerprint: string;
}

function withKey<Tx>(
  tools: AnswerTools<Tx>,
  { key, storedKey, fingerprint }: Claim,
  handler: IdempotentHandler<Tx>,
): Promise<UnitOfWorkResult<Turn>> {
  const { work, timeoutMs, maxBytes, codec } = tools;
  const carryOut = async (opened: OpenUnitOfWork<Tx>): Promise<TransactionEnd<Turn>> => {
    if (opened.results[0]?.rows[0]?.['locked'] !== 'true') return rolledBack({ kind: 'under way' });
    let doing: 'claiming' | 'handling' | 'storing' = 'claiming';
    let given: HttpAnswer | null = null;
    try {
      const kept = { maxBytes: textBytes(maxBytes), codec: codec ?? undefined };
      const options = { key: storedKey, fingerprint, schema: work.schema, ...kept };
      const stored = await idempotent(opened.handle, options, async (): Promise<StoredHttpAnswer> => {
        doing = 'handling';
        given = await handle(tools, opened, key, handler);
        const answer = storeAnswer(given, maxBytes);
        doing = 'storing';
        return answer;
      });
      if (given !== null) return { end: 'commit', value: { kind: 'answered', answer: given, replayed: false } };
      return rolledBack({ kind: 'answered', answer: readStoredAnswer(stored), replayed: true });
    } catch (error) {
      if (error instanceof SimulatedCrash) throw error;
      return rolledBack(error instanceof HandlerEnded ? error.turn : { kind: 'threw', error, while: doing });
    }
  };
  return work.run([lockStatement(storedKey)], carryOut, { timeoutMs, points: 'http' });
}

function withoutKey<Tx>(tools: AnswerTools<Tx>, handler: IdempotentHandler<Tx>): Promise<UnitOfWorkResult<Turn>> {
  const carryOut = async (opened: OpenUnitOfWork<Tx>): Promise<TransactionEnd<Turn>> => {
    try {
      const answer = await handle(tools, opened, null, handler);
      return { end: 'commit', value: { kind: 'answered', answer, replayed: false } };
    } catch (error) {
      if (error instanceof SimulatedCrash) throw error;
      return rolledBack(error instanceof HandlerEnded ? error.turn : { kind: 'threw', error, while: 'handling' });
    }
  };
  return tools.work.run([], carryOut, { timeoutMs: tools.timeoutMs, points: 'http' });
}

/** Rejects with HandlerEnded for what is to be rolled back although the handler threw nothing. */
async function handle<Tx>(
  { crash, timeoutMs, deadlines, isFinal }: AnswerTools<Tx>,
  opened: OpenUnitOfWork<Tx>,
  key: string | null,
  handler: IdempotentHandler<Tx>,
): Promise<HttpAnswer> {
  crash('http.handler:before');
  const run = await runLimited((signal) => handler({ tx: opened.tx, handle: opened.handle, key, signal }), {
    timeoutMs,
    deadlines,
  });
  crash('http.handler:after');
  if (run.kind === 'failed') throw run.error;
  if (run.kind === 'timeout') {
    if (run.hung) await opened.sever();
    throw new HandlerEnded({ kind: 'timeout', error: run.error });
  }
  if (!isFinal(run.value.status)) throw new HandlerEnded({ kind: 'answered', answer: run.value, replayed: false });
  return run.value;
}

/** null: another turn may tell. Throws what the handler threw, and what is wrong with the service. */
function answerOf(result: UnitOfWorkResult<Turn>): IdempotentAnswer | null {
  if (result.kind === 'failed') {
    if (result.phase === 'body') throw result.error;
    return unavailable(result.error, result.phase === 'commit');
  }
  const turn = result.value;
  switch (turn.kind) {
    case 'answered': {
      const { answer, replayed } = turn;
      const headers = replayed ? { ...answer.headers, 'idempotent-replayed': 'true' } : answer.headers;
      return { ...answer, headers, replayed, refusal: null };
    }
    case 'under way':
      return underWay();
    case 'timeout':
      return refusalAnswer(503, 'Service Unavailable', turn.error, true);
    case 'threw':
      return afterThrow(turn.error, turn.while);
  }
}

function afterThrow(error: unknown, doing: 'claiming' | 'handling' | 'storing'): IdempotentAnswer | null {
  if (doing === 'handling') throw error;
  if (doing === 'claiming') {
    if (isHoldfastError(error, 'HF_IDEMPOTENCY_CONFLICT')) return refusalAnswer(422, 'Unprocessable Content', error);
    if (isHoldfastError(error, 'HF_PAYLOAD_ENCRYPTED'))
      return refusalAnswer(503, 'Service Unavailable', closed(error), true);
    // Pruned at this very moment, or committed by another one after the snapshot of this transaction.
    if (isHoldfastError(error, 'HF_NOT_FOUND') || classifySqlError(error) === 'conflict') return null;
  }
  return unavailable(error, false);
}

/** Throws what will not pass by itself. */
function unavailable(error: unknown, atCommit: boolean): IdempotentAnswer {
  if (!passesByItself(error)) throw translateSqlError(error);
  const inDoubt = atCommit && classifySqlError(error) === 'connection';
  const refusal = new HoldfastError(
    inDoubt ? 'HF_COMMIT_IN_DOUBT' : 'HF_DATABASE_UNAVAILABLE',
    inDoubt
      ? 'It is not known whether the request was carried out.'
      : 'The request was not carried out: the database cannot just now.',
    { cause: error, advice: 'Send the same request again, with the same key.' },
  );
  return refusalAnswer(503, 'Service Unavailable', refusal, true);
}

/** Another process may have what opens it. Which key that is, is nothing for who asks. */
function closed(cause: HoldfastError): HoldfastError {
  return new HoldfastError('HF_PAYLOAD_ENCRYPTED', 'What is kept of the first request cannot be read here.', {
    cause,
    advice:
      'Send the same request again, with the same key. Give this process the codec, with all keys that are in use.',
  });
}

function underWay(): IdempotentAnswer {
  const refusal = new HoldfastError(
    'HF_IDEMPOTENCY_UNDER_WAY',
    'A request with this idempotency key is being handled.',
    {
      advice: 'Send the same request again a little later: it gets the answer of the first one.',
    },
  );
  return refusalAnswer(409, 'Conflict', refusal, true);
}

function missingKey(): HoldfastError {
  return new HoldfastError('HF_IDEMPOTENCY_KEY', 'The header Idempotency-Key is missing.', {
    advice:
      'Send one with a new value, such as a UUID in double quotes, for each new request, and the same one when you repeat it.',
  });
}

function tooDeep(): HoldfastError {
  return new HoldfastError('HF_PAYLOAD_INVALID', 'The body of the request is nested too deep.', {
    advice: 'Send a flatter value.',
  });
}

function rolledBack(value: Turn): TransactionEnd<Turn> {
  return { end: 'rollback', value };
}

/** Held until the transaction ends, so that who comes meanwhile is told, and does not wait with a connection in its hands. */
function lockStatement(storedKey: string): Statement {
  const lock = createHash('sha256').update(`holdfast.http\0${storedKey}`).digest().readBigInt64BE(0).toString();
  return { sql: 'SELECT pg_try_advisory_xact_lock($1::bigint)::text AS locked', parameters: [lock] };
}

/** Of the stored JSON: each character of a body may take six in it, and headers come with it. */
function textBytes(maxBytes: number): number {
  return maxBytes * 6 + 65_536;
}
