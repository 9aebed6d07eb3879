/**
 * Applies one migration: waits for its turn and for its locks, runs the file and writes its row into the ledger, in one transaction where the
 * file allows for it.
 */
import { createHash } from 'node:crypto';
import type pg from 'pg';
import { HoldfastError } from '../errors.ts';
import { systemClock } from '../runtime/clock.ts';
import type { Database } from './database.ts';
import { explainLockWait, LOCK_NOT_AVAILABLE, LOCK_PATIENCE_MS, SET_LOCAL_LOCK_PATIENCE } from './lock-wait.ts';
import type { Migration } from './migration-files.ts';
import { checkLedger, createLedger, fileName, ledgerName, readLedger } from './migration-ledger.ts';
import { classifySqlError, sqlStateOf } from './sql-state.ts';
import { beginStatement, runTransaction } from './transaction.ts';

/**
 * Asks for locks for a moment only, again and again: behind a request that waits, every service would. Rejects with HF_LOCK_WAIT,
 * which says who has them, after a minute. False when another migrator was faster.
 */
export async function applyPatiently(
  database: Database,
  client: pg.PoolClient,
  file: Migration,
  files: readonly Migration[],
): Promise<boolean> {
  const { schema } = database;
  const endsAtMs = systemClock.monotonic() + LOCKS_WITHIN_MS;
  for (;;) {
    try {
      return await applyOne(client, schema, file, files);
    } catch (error) {
      if (sqlStateOf(error) !== LOCK_NOT_AVAILABLE || systemClock.monotonic() > endsAtMs) {
        const doing = `Migration ${fileName(file)} was not applied`;
        throw await explainLockWait(database, error, { doing, advisory: lockKey(schema) });
      }
      await systemClock.sleep(LOCK_PATIENCE_MS * (0.2 + 0.2 * Math.random()));
    }
  }
}

/** How long locks are asked for in all, in milliseconds. */
const LOCKS_WITHIN_MS = 60_000;

async function takeTurn(
  client: pg.PoolClient,
  how: 'pg_try_advisory_xact_lock' | 'pg_try_advisory_lock',
  lock: string,
) {
  const { rows } = await client.query<{ mine: boolean }>(`SELECT ${how}($1) AS mine`, [lock]);
  if (rows[0]?.mine === true) return;
  throw Object.assign(new Error('another migrator is at work'), { code: LOCK_NOT_AVAILABLE });
}

/** False when another migrator was faster. */
async function applyOne(
  client: pg.PoolClient,
  schema: string,
  file: Migration,
  files: readonly Migration[],
): Promise<boolean> {
  const lock = lockKey(schema);
  const isPending = async () => {
    const applied = await readLedger(client, schema);
    checkLedger(applied, files, schema);
    return !applied.some((row) => row.version === file.version);
  };
  const record = async () => {
    await client.query(`INSERT INTO ${ledgerName(schema)} (version, name, checksum) VALUES ($1, $2, $3)`, [
      file.version,
      file.name,
      file.checksum,
    ]);
  };

  if (file.transaction) {
    return runTransaction(client, beginStatement({ timeoutMs: LOCKS_WITHIN_MS }), async () => {
      await client.query(`SET LOCAL statement_timeout = 0; ${SET_LOCAL_LOCK_PATIENCE}`);
      await takeTurn(client, 'pg_try_advisory_xact_lock', lock);
      if (!(await isPending())) return false;
      await createLedger(client, schema);
      await runFile(client, file);
      await record();
      return true;
    });
  }
  // Outside a transaction only a lock of the session can span lock, statement and record.
  await takeTurn(client, 'pg_try_advisory_lock', lock);
  try {
    if (!(await isPending())) return false;
    await createLedger(client, schema);
    await runFile(client, file);
    await record();
    return true;
  } finally {
    await client.query('SELECT pg_advisory_unlock($1)', [lock]).catch(() => undefined);
  }
}

async function runFile(client: pg.PoolClient, file: Migration): Promise<void> {
  try {
    await client.query(file.sql);
  } catch (error) {
    if (classifySqlError(error) === 'connection') throw error;
    const position = error instanceof Error && 'position' in error ? Number(error.position) : Number.NaN;
    const line = Number.isNaN(position) ? '' : `, line ${file.sql.slice(0, position).split('\n').length}`;
    const what = error instanceof Error ? error.message : String(error);
    throw new HoldfastError('HF_MIGRATION_FAILED', `Migration ${fileName(file)}${line} failed: ${what}.`, {
      advice: file.transaction
        ? 'Nothing of this file was applied; mend the cause and run it again.'
        : 'This file runs outside a transaction; see its notes for what it may have left behind.',
      cause: error,
      details: { version: file.version, sqlState: sqlStateOf(error) ?? null },
    });
  }
}

/** A bigint of the schema's own, as text. */
export function lockKey(schema: string): string {
  return createHash('sha256').update(`holdfast migrate ${schema}`).digest().readBigInt64BE().toString();
}
