/**
 * Idempotency keys for commands that come by HTTP or RPC: the answer is stored in the transaction of the effect, and given again for
 * a repeated key. Used by services in their request handlers.
 */
import { createHash } from 'node:crypto';
import { HoldfastError } from '../errors.ts';
import { encodePayload } from '../message/payload.ts';
import { assertStorableText } from '../message/text.ts';
import { toExecutor, type SqlExecutor, type TransactionHandle } from '../postgres/executor.ts';
import { assertSchemaName, DEFAULT_SCHEMA, quoteIdentifier } from '../postgres/quoting.ts';
import { refuseUnknownOptions } from '../runtime/options.ts';

export interface IdempotentOptions {
  /** Schema of the Holdfast tables; default 'holdfast'. */
  readonly schema?: string | undefined;
  /** Most UTF-8 bytes of the answer as JSON; default 1 MiB. */
  readonly maxBytes?: number | undefined;
}

const MAX_KEY_BYTES = 512;

/**
 * Runs `fn` once for each `key` and stores its answer in `tx`; for a repeated key, resolves with the stored answer and does not run
 * it. A second call with the same key waits for the first one's transaction: if that commits it gets the answer, if it rolls
 * back, it runs `fn` itself. The answer must be JSON (`undefined` becomes null) and comes back as JSON carries it, the first
 * time as well. When `fn` rejects, nothing is stored: let the rejection out, so that the transaction rolls back.
 *
 * `key` is one namespace for the whole database: put the tenant or user before what clients choose. `fingerprint` says which request
 * it stands for; see `fingerprintOf`. Keys are pruned by any running consumer, after `idempotencyRetention` (default '24h').
 *
 * @throws HoldfastError HF_IDEMPOTENCY_CONFLICT (the key stands for another request), HF_CONFIG, HF_PAYLOAD_TEXT,
 * HF_PAYLOAD_NOT_JSON, HF_PAYLOAD_TOO_LARGE, HF_TX_UNSUPPORTED, HF_NOT_IN_TRANSACTION
 */
export async function idempotent<Answer>(
  tx: TransactionHandle,
  key: string,
  fingerprint: string,
  fn: () => Promise<Answer> | Answer,
  options: IdempotentOptions = {},
): Promise<Answer> {
  refuseUnknownOptions(options, ['schema', 'maxBytes'], 'idempotent');
  const { maxBytes = 1_048_576 } = options;
  assertText(key, 'key');
  assertText(fingerprint, 'fingerprint');
  const table = `${quoteIdentifier(assertSchemaName(options.schema ?? DEFAULT_SCHEMA))}.idempotency_key`;
  const execute = toExecutor(tx);

  if (!(await insertKey(execute, table, key, fingerprint))) {
    const stored = await storedAnswer(execute, table, key);
    if (stored.fingerprint !== fingerprint) {
      throw new HoldfastError('HF_IDEMPOTENCY_CONFLICT', 'The idempotency key was used for another request.', {
        advice: 'Use a new key for a new request.',
        details: { key },
      });
    }
    if (stored.answered) return stored.answer as Answer;
    // Somebody swallowed the rejection of `fn` and committed. We hold the row: the work is ours.
  }

  let answer: string;
  try {
    answer = encodePayload((await fn()) ?? null, { maxBytes, where: `the answer for idempotency key ${key}` });
  } catch (error) {
    // Usually the transaction is lost anyway and this with it; it matters to those who catch the error and commit.
    await execute(`DELETE FROM ${table} WHERE key = $1::text`, [key]).catch(() => {});
    throw error;
  }
  await execute(`UPDATE ${table} SET answer = $2::text::jsonb WHERE key = $1::text`, [key, answer]);
  return JSON.parse(answer) as Answer;
}

/** Waits for a transaction that is inserting the same key. True when the key is new. */
async function insertKey(execute: SqlExecutor, table: string, key: string, fingerprint: string): Promise<boolean> {
  const rows = await execute(
    `INSERT INTO ${table} (key, fingerprint) VALUES ($1::text, $2::text) ON CONFLICT (key) DO NOTHING RETURNING 1 AS inserted`,
    [key, fingerprint],
  );
  return rows.length > 0;
}

interface StoredAnswer {
  readonly fingerprint: string;
  readonly answered: boolean;
  readonly answer: unknown;
}

async function storedAnswer(execute: SqlExecutor, table: string, key: string): Promise<StoredAnswer> {
  const rows = await execute(
    `SELECT fingerprint, (answer IS NOT NULL)::text AS answered, answer::text AS answer FROM ${table} WHERE key = $1::text FOR UPDATE`,
    [key],
  );
  const row = rows[0] as { fingerprint: string; answered: string; answer: string | null } | undefined;
  if (row === undefined) {
    throw new HoldfastError('HF_NOT_FOUND', 'The idempotency key was pruned at this very moment.', {
      advice: 'Repeat the request.',
      details: { key },
    });
  }
  return {
    fingerprint: row.fingerprint,
    answered: row.answered === 'true',
    answer: row.answer === null ? null : (JSON.parse(row.answer) as unknown),
  };
}

function assertText(value: string, name: string): void {
  if (typeof value !== 'string' || value === '') {
    throw new HoldfastError(
      'HF_CONFIG',
      `idempotent: ${name} is ${value === '' ? 'empty' : `of type ${typeof value}`}.`,
      { advice: 'Give a text.' },
    );
  }
  assertStorableText(value, `idempotent: ${name}`);
  if (Buffer.byteLength(value) > MAX_KEY_BYTES) {
    throw new HoldfastError('HF_PAYLOAD_TOO_LARGE', `idempotent: ${name} is over ${MAX_KEY_BYTES} bytes.`, {
      advice: 'Use a hash; fingerprintOf makes one.',
    });
  }
}

/** SHA-256 of a request as JSON, whatever the order of its properties. Give it all that makes the request what it is. */
export function fingerprintOf(request: unknown): string {
  const canonical = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(canonical);
    if (typeof value !== 'object' || value === null || 'toJSON' in value) return value;
    return Object.fromEntries(
      Object.entries(value)
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, each]) => [name, canonical(each)]),
    );
  };
  return createHash('sha256')
    .update(JSON.stringify(canonical(request)) ?? 'undefined')
    .digest('hex');
}

/** Deletes up to `limit` keys older than `olderThanMs`; resolves with how many. Consumers call it; so can a job of your own. */
export async function pruneIdempotencyKeys(
  execute: SqlExecutor,
  {
    olderThanMs,
    limit = 1_000,
    schema = DEFAULT_SCHEMA,
  }: { readonly olderThanMs: number; readonly limit?: number; readonly schema?: string },
): Promise<number> {
  const table = `${quoteIdentifier(assertSchemaName(schema))}.idempotency_key`;
  const rows = await execute(
    `WITH old AS (
       SELECT ctid FROM ${table} WHERE created_at < now() - $1::float8 * interval '1 millisecond' LIMIT $2::int FOR UPDATE SKIP LOCKED),
     gone AS (DELETE FROM ${table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM old)) RETURNING 1)
     SELECT count(*)::text AS pruned FROM gone`,
    [olderThanMs, limit],
  );
  return Number(rows[0]?.['pruned']);
}
