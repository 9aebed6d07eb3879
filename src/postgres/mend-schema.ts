/**
 * What the migrator mends beside applying files: functions that write into another schema's tables, after a rename or a copy, and
 * sequences that are behind their tables, after a logical replication.
 */
import type pg from 'pg';
import { bringHome, strayFunctions } from './at-home.ts';
import { beginStatement, runTransaction } from './transaction.ts';
import { SET_LOCAL_LOCK_PATIENCE, TRANSACTION_MS } from './lock-wait.ts';
import { raiseSequences, sequencesBehind } from './sequences.ts';

/** What {@link migrate} mends beside what it applies. */
export interface Repair {
  readonly kind: 'functions' | 'sequence';
  /** In a sentence. */
  readonly what: string;
}

/** `lock` is the migrators' own. Looks first, so that nothing is written where all is well. */
export async function mendSchema(client: pg.PoolClient, schema: string, lock: string): Promise<readonly Repair[]> {
  const repairs: Repair[] = [];
  if ((await strayFunctions(client, schema)).length > 0) {
    const names = await runTransaction(client, beginStatement({ timeoutMs: TRANSACTION_MS }), async () => {
      await client.query(SET_LOCAL_LOCK_PATIENCE);
      await client.query('SELECT pg_advisory_xact_lock($1)', [lock]);
      return bringHome(client, schema);
    });
    if (names.length > 0) {
      const what = `The functions ${names.join(', ')} wrote into another schema; now they write into ${schema}.`;
      repairs.push({ kind: 'functions', what });
    }
  }
  if ((await hasSequenceGuard(client, schema)) && (await sequencesBehind(client, schema)).length > 0) {
    for (const { name, last, needed } of await raiseSequences(client, schema)) {
      repairs.push({ kind: 'sequence', what: `The sequence ${name} was at ${last}, behind ${needed}; it was raised.` });
    }
  }
  return repairs;
}

/** Not before the migration that brings it. */
async function hasSequenceGuard(client: pg.PoolClient, schema: string): Promise<boolean> {
  const { rowCount } = await client.query(
    `SELECT 1 FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname = $1 AND p.proname = 'raise_sequences'`,
    [schema],
  );
  return rowCount !== 0;
}
