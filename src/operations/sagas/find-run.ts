/**
 * A run by what people have in hand: its id, or the key it was started with.
 */
import { HoldfastError } from '../../errors.ts';
import { isUuid } from '../../message/id.ts';
import type { Database } from '../../postgres/database.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { firstRow, rowsBySql, tables } from '../reads/reads.ts';

/** More runs than these with one key are not listed: the advice names these and says that there are others. */
const LISTED = 5;

/**
 * The id of the run that `idOrKey` names. A key that looks like an id finds its run when no run has that id.
 * Rejects with HF_NOT_FOUND, and with HF_CONFIG when runs of several sagas have the key and `saga` does not choose.
 *
 * @example
 * const id = await findRunId(database, 'o-1', 'place-order');
 */
export async function findRunId(database: Database, idOrKey: string, saga?: string): Promise<string> {
  if (isUuid(idOrKey)) {
    const found = await firstRow(
      database,
      tables(database).selectFrom('saga_run').select('id').where('id', '=', idOrKey),
    );
    if (found !== undefined) return idOrKey;
  }
  const found = (await runsWithKey(database, idOrKey)).filter((run) => saga === undefined || run.saga === saga);
  const [only, ...others] = found;
  if (only === undefined) throw noSuchRun(idOrKey, saga);
  if (others.length === 0) return only.id;
  const listed = found
    .slice(0, LISTED)
    .map(({ id, saga: name, version, status }) => `${name}@${version} ${id} (${status})`);
  throw new HoldfastError('HF_CONFIG', `Several runs have the key ${JSON.stringify(idOrKey)}.`, {
    advice: `Say which, by --saga or by its id: ${listed.join(', ')}${found.length > LISTED ? ', …' : ''}.`,
    details: { key: idOrKey, runs: found.map(({ id }) => id) },
  });
}

interface FoundRun {
  readonly id: string;
  readonly saga: string;
  readonly version: number;
  readonly status: string;
}

/**
 * Newest first. The index is by saga and key, and there are few sagas: their names are found by leaping from one to the next in it, and
 * the key is looked up in each.
 */
async function runsWithKey(database: Database, key: string): Promise<readonly FoundRun[]> {
  const runs = `${quoteIdentifier(database.schema)}.saga_run`;
  const found = await rowsBySql<{ readonly runs: string | null }>(
    database,
    `WITH RECURSIVE named (saga) AS (
       (SELECT r.saga FROM ${runs} r WHERE r.key IS NOT NULL ORDER BY r.saga LIMIT 1)
       UNION ALL
       SELECT (SELECT r.saga FROM ${runs} r WHERE r.key IS NOT NULL AND r.saga > n.saga ORDER BY r.saga LIMIT 1)
       FROM named n WHERE n.saga IS NOT NULL)
     SELECT json_agg(json_build_object('id', r.id, 'saga', r.saga, 'version', r.version, 'status', r.status) ORDER BY r.id DESC)::text AS runs
     FROM named n JOIN ${runs} r ON r.saga = n.saga AND r.key = $1`,
    [key],
  );
  return JSON.parse(found[0]?.runs ?? '[]') as FoundRun[];
}

/** For whoever was given the id or key of a run that is not there. */
export function noSuchRun(idOrKey: string, saga?: string): HoldfastError {
  const of = saga === undefined ? '' : ` of ${saga}`;
  return new HoldfastError(
    'HF_NOT_FOUND',
    isUuid(idOrKey)
      ? `There is no run ${idOrKey}${of}.`
      : `There is no run${of} with the id or key ${JSON.stringify(idOrKey)}.`,
    {
      advice: '`holdfast saga ls` shows those that are; retention removes what has long ended.',
      details: { run: idOrKey },
    },
  );
}
