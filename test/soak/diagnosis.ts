/**
 * What is left when nothing moves any more, for whoever has to find out why.
 */
import { listParked } from '../../src/index.ts';
import type { SoakDatabases } from './servers.ts';
import { DATABASE_NAMES } from './setting.ts';
import type { View } from './watch.ts';

const MOST = 5;

export async function lookForRest(databases: SoakDatabases, last: View | undefined): Promise<readonly string[]> {
  const { rows } = await databases.orders.query<{
    id: string;
    status: string;
    run: string;
    runId: string;
    finished: boolean;
  }>(
    `SELECT o.id, o.status, o.run_id AS "runId", coalesce(r.status, 'gone') AS run, r.finished_at IS NOT NULL AS finished
     FROM orders o LEFT JOIN holdfast.saga_run r ON r.id = o.run_id ORDER BY o.id LIMIT $1`,
    [MOST],
  );
  const parked = await Promise.all(
    DATABASE_NAMES.map(async (name) =>
      (await listParked(databases[name], { limit: MOST })).map(
        ({ where, id, state, reason, error }) => `${name}: ${where} has ${id} parked (${state}, ${reason}): ${error}`,
      ),
    ),
  );
  return [
    'nothing has moved for three minutes, and not everything is done',
    ...(last?.missing.sentences ?? []),
    ...rows.map(({ id, status, run, runId }) => `${id} (${status}): its run ${runId} is ${run}`),
    ...parked.flat().slice(0, MOST),
    ...((last?.world.runMessages ?? 0) > 0 ? [`${last?.world.runMessages} run messages were not taken in`] : []),
  ];
}
