/**
 * Whether the database answers and has the tables.
 */
import { HoldfastError } from '../../errors.ts';
import type { Database } from '../../postgres/database.ts';
import { assertSchema } from '../../postgres/migrator.ts';
import { withTimeout } from '../../runtime/timeout.ts';

const TIMEOUT_MS = 3_000;

/** What is wrong; null: nothing. Never rejects. */
export async function databaseTrouble(database: Database): Promise<string | null> {
  try {
    // Its connection is given up as well: the next question must not be put to one that has fallen silent.
    await withTimeout(() => assertSchema(database, { timeoutMs: TIMEOUT_MS }), {
      timeoutMs: TIMEOUT_MS,
      onTimeout: () => new HoldfastError('HF_DATABASE_UNAVAILABLE', `It did not answer within ${TIMEOUT_MS} ms.`),
    });
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
