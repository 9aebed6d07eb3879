/**
 * What everything that starts on a database checks before it reads or writes: that the tables are there, that the functions of the
 * schema are its own, that this is no copy of somebody else's tables, and that no sequence is behind its table.
 */
import type { Logger } from '../runtime/log.ts';
import type { Database } from './database.ts';
import { askingAgain } from './asking-again.ts';
import { assertSchema } from './migrator.ts';
import { assertAtHome } from './at-home.ts';
import { claimEnvironment } from './environment.ts';
import { raiseSequences } from './sequences.ts';
import { translateSqlError } from './sql-state.ts';

/** Rejects with HF_SCHEMA_MISSING, HF_SCHEMA_MOVED or HF_ENVIRONMENT. Sequences that are behind are raised, and told of. */
export async function checkStart(database: Database, log: Logger): Promise<void> {
  await assertSchema(database);
  try {
    await askingAgain(log, () => assertAtHome(database, database.schema));
    await askingAgain(log, () => claimEnvironment(database, log));
    const raised = await askingAgain(log, () => raiseSequences(database, database.schema));
    for (const { name, last, needed } of raised) {
      log.error({ sequence: name, last, needed }, 'a sequence was behind its table, and has been raised');
    }
  } catch (error) {
    throw translateSqlError(error);
  }
}
