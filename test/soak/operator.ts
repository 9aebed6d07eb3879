/**
 * The operator: mends what handlers cannot get over by themselves, and has it tried again.
 */
import { isHoldfastError, listParked, retryParked, showParked, type Database } from '../../src/index.ts';
import type { Drop } from './flood/messages.ts';
import type { SoakDatabases } from './servers.ts';
import { DATABASE_NAMES } from './setting.ts';

const ACT = { actor: 'soak', reason: 'what it failed for is mended' } as const;
const MOST = 200;

/** One round over all databases. Resolves with how many messages were mended, so far as they are of the flood, and tried again. */
export async function mendParked(databases: SoakDatabases): Promise<number> {
  let retried = 0;
  for (const name of DATABASE_NAMES) {
    const database = databases[name];
    const parked = await listParked(database, { state: 'failed', limit: MOST });
    if (parked.length === 0) continue;
    if (name === 'sink')
      await mend(
        database,
        parked.map(({ id }) => id),
      );
    try {
      for (const place of await retryParked(database, { all: true }, ACT)) retried += place.retried;
    } catch (error) {
      // Somebody was faster: they are retried by themselves as well.
      if (!isHoldfastError(error, 'HF_NOT_FOUND')) throw error;
    }
  }
  return retried;
}

async function mend(sink: Database, ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    // It may have been handled meanwhile, or between two looks at it.
    const found = await showParked(sink, id).catch(() => []);
    for (const { data } of found) {
      if (data === null) continue;
      const { stream, n } = data as Drop;
      await sink.query('INSERT INTO mended (stream, n) VALUES ($1, $2) ON CONFLICT DO NOTHING', [stream, n]);
    }
  }
}
