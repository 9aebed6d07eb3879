/**
 * Idempotency keys for commands that come by HTTP or RPC. The answer is stored in the transaction of the effect, and given again for a
 * repeated key. Services call it in their request handlers.
 */
import { HoldfastError } from '../../errors.ts';
import type { PayloadCodec } from '../../message/codec.ts';
import { encodePayload } from '../../message/payload.ts';
import { assertStorableText } from '../../message/text.ts';
import { toExecutor, type Row, type SqlExecutor, type TransactionHandle } from '../../postgres/executor.ts';
import { assertSchemaName, DEFAULT_SCHEMA, quoteIdentifier } from '../../postgres/quoting.ts';
import { sqlStateOf } from '../../postgres/sql-state.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { readBeside } from './answer-beside.ts';
import { isSameRequest, keptAnswer, keptFingerprint, openAnswer, type Keeping } from './kept-answer.ts';

/** Options of {@link idempotent}. */
export interface IdempotentOptions {
  /** One namespace for the whole database: put the tenant or user before what clients choose. Up to 512 bytes. */
  readonly key: string;
  /** Which request the key stands for; see `fingerprintOf`. Up to 512 bytes. */
  readonly fingerprint: string;
  /**
   * Schema of the Holdfast tables.
   *
   * @defaultValue 'holdfast'
   */
  readonly schema?: string | undefined;
  /**
   * Most UTF-8 bytes of the answer as JSON.
   *
   * @defaultValue 1 MiB
   */
  readonly maxBytes?: number | undefined;
  /**
   * Keeps the answer and the fingerprint encrypted. All processes that are asked with these keys need it.
   *
   * @defaultValue kept as they are
   */
  readonly codec?: PayloadCodec | undefined;
}

const MAX_KEY_BYTES = 512;

/**
 * Runs `fn` once for each `key` and stores its answer in `tx`; for a repeated key, resolves with the stored answer and does not run
 * it. A second call with the same key waits for the first one's transaction: if that commits it gets the answer, if it rolls
 * back, it runs `fn` itself. The answer must be JSON (`undefined` becomes null) and comes back as JSON carries it, the first
 * time as well, with its keys in the order they were given. When `fn` rejects, nothing is stored: let the rejection out, so that the transaction rolls back.
 *
 * Under REPEATABLE READ and SERIALIZABLE, PostgreSQL does not show the transaction what was committed after its snapshot. The answer of a
 * first call that committed since is then read by a connection of its own, which is opened for it as `tx` was (node-postgres); with other
 * clients the call rejects with PostgreSQL's 40001, as any other statement there: run the transaction again.
 *
 * Keys are pruned by any running consumer, after `idempotencyRetention` (default '24h').
 *
 * @throws HoldfastError HF_IDEMPOTENCY_CONFLICT (the key stands for another request), HF_PAYLOAD_ENCRYPTED, HF_CONFIG, HF_PAYLOAD_TEXT,
 * HF_PAYLOAD_NOT_JSON, HF_PAYLOAD_TOO_LARGE, HF_TX_UNSUPPORTED, HF_NOT_IN_TRANSACTION
 * @example
 * const request = { orderId: 'o-1' };
 * const answer = await database.transaction((tx) =>
 *   idempotent(tx, { key: 'tenant-1:abc', fingerprint: fingerprintOf(request) }, async () => {
 *     await tx.query('INSERT INTO orders (id) VALUES ($1)', [request.orderId]);
 *     return { accepted: true };
 *   }),
 * );
 */
export async function idempotent<Answer>(
  tx: TransactionHandle,
  options: IdempotentOptions,
  fn: () => Promise<Answer> | Answer,
): Promise<Answer> {
  refuseUnknownOptions(options, ['key', 'fingerprint', 'schema', 'maxBytes', 'codec'], 'idempotent');
  const { key, fingerprint, maxBytes = 1_048_576 } = options;
  assertText(key, 'key');
  assertText(fingerprint, 'fingerprint');
  const table = `${quoteIdentifier(assertSchemaName(options.schema ?? DEFAULT_SCHEMA))}.idempotency_key`;
  const execute = toExecutor(tx);
  const keeping: Keeping = { codec: options.codec ?? null, key };

  const stored = await claimKey({ tx, execute, table }, key, keptFingerprint(keeping, fingerprint));
  if (stored !== null) {
    if (!isSameRequest(keeping, stored.fingerprint, fingerprint)) {
      throw new HoldfastError('HF_IDEMPOTENCY_CONFLICT', 'The idempotency key was used for another request.', {
        advice: 'Use a new key for a new request.',
        details: { key },
      });
    }
    if (stored.answer !== null) return openAnswer(keeping, stored.answer) as Answer;
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
  // As jsonb as well, for processes of before, which know no other.
  await execute(`UPDATE ${table} SET answer = $2::text::jsonb, answer_text = $2::text WHERE key = $1::text`, [
    key,
    keptAnswer(keeping, answer),
  ]);
  return JSON.parse(answer) as Answer;
}

interface StoredAnswer {
  readonly fingerprint: string;
  /** JSON text; null: there is none. */
  readonly answer: string | null;
}

/** Where keys are claimed. */
interface KeyTable {
  readonly tx: TransactionHandle;
  readonly execute: SqlExecutor;
  /** Quoted. */
  readonly table: string;
}

/** Waits for a transaction that is inserting the same key. null when the key is new and ours, else what is stored. */
async function claimKey(keys: KeyTable, key: string, fingerprint: string): Promise<StoredAnswer | null> {
  const { execute, table } = keys;
  const insert = `INSERT INTO ${table} (key, fingerprint) SELECT $1::text, $2::text`;
  const unlessThere = 'ON CONFLICT (key) DO NOTHING RETURNING 1 AS inserted';
  const inserted = await execute(
    `${insert} WHERE current_setting('transaction_isolation') LIKE 'read%' ${unlessThere}`,
    [key, fingerprint],
  );
  if (inserted.length > 0) return null;
  const stored = await execute(`${storedSql(table)} FOR UPDATE`, [key]);
  if (stored.length > 0) return stored[0] as unknown as StoredAnswer;
  const [session] = await execute("SELECT current_setting('transaction_isolation') AS isolation", []);
  if (String(session?.['isolation']).startsWith('read')) throw pruned(key);
  return claimInSnapshot(keys, key, () => execute(`${insert} ${unlessThere}`, [key, fingerprint]));
}

/**
 * REPEATABLE READ and SERIALIZABLE: the transaction sees the rows of its snapshot only, and PostgreSQL refuses (40001) a key that another
 * one has committed since. The answer of that one is read on another connection; this transaction goes back to its savepoint.
 */
async function claimInSnapshot(
  { tx, execute, table }: KeyTable,
  key: string,
  insert: () => Promise<readonly Row[]>,
): Promise<StoredAnswer | null> {
  await execute('SAVEPOINT holdfast_key', []);
  try {
    const inserted = await insert();
    await execute('RELEASE SAVEPOINT holdfast_key', []);
    if (inserted.length === 0) throw pruned(key);
    return null;
  } catch (error) {
    if (sqlStateOf(error) !== '40001') throw error;
    await execute('ROLLBACK TO SAVEPOINT holdfast_key', []);
    const row = await readBeside(tx, storedSql(table), [key]).catch(() => null);
    const stored = row as StoredAnswer | null;
    // Without an answer the transaction must be run again, as always after this error.
    if (stored === null || stored.answer === null) throw error;
    return stored;
  }
}

/** The text of the answer as it was given; of rows of before, what jsonb made of it. */
function storedSql(table: string): string {
  return `SELECT fingerprint, coalesce(answer_text, answer::text) AS answer FROM ${table} WHERE key = $1::text`;
}

function pruned(key: string): HoldfastError {
  return new HoldfastError('HF_NOT_FOUND', 'The idempotency key was pruned at this very moment.', {
    advice: 'Repeat the request.',
    details: { key },
  });
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

/** What {@link pruneIdempotencyKeys} deletes. */
export interface PruneKeysOptions {
  readonly olderThan: Duration;
  /**
   * Most keys that one call deletes.
   *
   * @defaultValue 1000
   */
  readonly limit?: number | undefined;
  /** @defaultValue 'holdfast' */
  readonly schema?: string | undefined;
}

/**
 * Deletes keys that are old enough, up to a limit; resolves with how many. Consumers do so by themselves; a service without one calls it
 * now and then.
 *
 * @throws HoldfastError HF_DURATION
 * @example
 * const execute: SqlExecutor = async (sql, parameters) => (await pool.query(sql, [...parameters])).rows;
 * const pruned = await pruneIdempotencyKeys(execute, { olderThan: '24h' });
 */
export async function pruneIdempotencyKeys(
  execute: SqlExecutor,
  { olderThan, limit = 1_000, schema = DEFAULT_SCHEMA }: PruneKeysOptions,
): Promise<number> {
  const olderThanMs = parseDuration(olderThan, 'pruneIdempotencyKeys.olderThan');
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
