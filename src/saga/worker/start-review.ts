/**
 * What a worker finds when it compares what it declares with what is under way: runs that count on what it no longer has, another worker
 * with another code under the same version, runs that nobody offers to go on with. Said in the log when it starts; nothing is refused or
 * changed for it, and a run that does not fit is found again when it is taken up.
 */
import type { Database } from '../../postgres/database.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import type { Logger } from '../../runtime/log.ts';
import { stepOf, type AnySaga } from '../definition/definition.ts';
import { hasEffect, type CallKind } from '../definition/kind-names.ts';
import { canCompensate } from '../definition/steps.ts';
import { inputVersionOf } from '../journal/recorded-values.ts';

/** What calls under way of one step count on. */
export interface CountedOn {
  readonly saga: string;
  readonly version: number;
  readonly step: string;
  readonly kind: CallKind;
  readonly undoable: boolean;
  /** Of the message type, or of the child's saga; null: not known. */
  readonly typeVersion: number | null;
}

/** Pure. What this code lacks of what is counted on; null: nothing. */
export function missing(saga: AnySaga, { step: name, kind, undoable, typeVersion }: CountedOn): string | null {
  if (!hasEffect(kind)) return null;
  const step = stepOf(saga, name);
  if (step === undefined || step.kind !== kind) return `declares no ${kind} ${name}`;
  if (undoable && !canCompensate(step)) return `declares the ${kind} ${name} without what compensates it`;
  const now = inputVersionOf(step);
  if (typeVersion === null || now === null || typeVersion === now || step.saga !== null) return null;
  const type = step.inputType;
  if (typeVersion > now)
    return `has ${type?.topic ?? name} in version ${now}, and it was recorded in version ${typeVersion}`;
  for (let from = typeVersion; from < now; from += 1)
    if (type?.upcasts.has(from) === false) return `has no upcast of ${type.topic} from version ${from}`;
  return null;
}

/** Pure. The version of a child, as `saga@version`, that was started and that this code declares otherwise by now; null: it does not. */
export function otherChild(saga: AnySaga, { step: name, typeVersion }: CountedOn): string | null {
  const step = stepOf(saga, name);
  const child = step?.saga ?? null;
  if (child === null || typeVersion === null || typeVersion === child.version) return null;
  return `${child.name}@${typeVersion}`;
}

/** Those of the given `saga@version` that no live worker has. */
async function offeredByNobody(database: Database, offers: readonly string[]): Promise<readonly string[]> {
  if (offers.length === 0) return [];
  const { rows } = await database.query<{ offer: string }>(
    `SELECT o.offer FROM unnest($1::text[]) AS o (offer) WHERE NOT EXISTS (
       SELECT 1 FROM ${quoteIdentifier(database.schema)}.worker w WHERE w.lease_until > clock_timestamp() AND w.sagas ? o.offer)
     ORDER BY 1`,
    [offers],
  );
  return rows.map(({ offer }) => offer);
}

/**
 * How much is looked at: of the newest runs the first rows of each, short rows alone, and so many bytes in all. It is a sample, so that a
 * start costs a few milliseconds of the server's time whatever there is.
 */
const NEWEST = 1_000;
const ROWS_OF_RUN = 50;
const ROWS = 5_000;
const ROW_BYTES = 65_536;
const BYTES = 8 * 1024 * 1024;
/** How long the server may take for one of the questions, in milliseconds. */
const PATIENCE_MS = 10_000;

/** What the calls of runs under way count on, once each. */
async function countedOn(database: Database): Promise<readonly CountedOn[]> {
  const s = quoteIdentifier(database.schema);
  // Weighed by the column, so that no row is read from where long ones are kept; only what is taken is parsed.
  const { rows } = await database.query<CountedOn>(
    `SELECT DISTINCT x.saga, x.version, e ->> 'step' AS step, e ->> 'kind' AS kind,
       coalesce((e ->> 'undoable')::boolean, false) AS undoable, (e ->> 'version')::int AS "typeVersion"
     FROM (SELECT j.saga, j.version, j.events, sum(j.bytes) OVER (ROWS UNBOUNDED PRECEDING) AS so_far
       FROM (SELECT r.saga, r.version, j.events, j.bytes
         FROM (SELECT id, saga, version, finished_at FROM ${s}.saga_run ORDER BY id DESC LIMIT ${NEWEST}) r
         CROSS JOIN LATERAL (SELECT y.events, y.bytes FROM ${s}.saga_journal y
           WHERE y.saga_id = r.id AND y.n < ${ROWS_OF_RUN} AND y.bytes < ${ROW_BYTES} ORDER BY y.n OFFSET 0) j
         WHERE r.finished_at IS NULL LIMIT ${ROWS}) j) x
     CROSS JOIN LATERAL json_array_elements(x.events) e
     WHERE x.so_far <= ${BYTES} AND e ->> 't' = 'called' ORDER BY 1, 2, 3`,
    [],
    { timeoutMs: PATIENCE_MS },
  );
  return rows;
}

/** Never rejects: what cannot be asked is not said. Nobody waits for it. */
export async function reviewUnderWay(
  database: Database,
  sagas: readonly AnySaga[],
  workerId: string,
  log: Logger,
): Promise<void> {
  const s = quoteIdentifier(database.schema);
  try {
    const children = new Map<string, CountedOn>();
    for (const each of await countedOn(database)) {
      const saga = sagas.find(({ name, version }) => name === each.saga && version === each.version);
      if (saga === undefined) continue;
      const child = otherChild(saga, each);
      if (child !== null) children.set(child, each);
      const what = missing(saga, each);
      if (what !== null)
        log.warn(
          { saga: each.saga, version: each.version, step: each.step },
          `runs are under way that this code cannot compensate or go on with: it ${what}. Keep it until they have ended, or raise the version`,
        );
    }
    for (const offer of await offeredByNobody(database, [...children.keys()])) {
      const { saga, version, step } = children.get(offer) ?? {};
      log.warn(
        { saga, version, step, child: offer },
        'runs are under way that have started children in a version that no worker offers: add that version to a worker until they have ended',
      );
    }
    const { rows: others } = await database.query<{ name: string; offer: string }>(
      `SELECT o.name, mine.key AS offer FROM ${s}.worker me CROSS JOIN LATERAL jsonb_each_text(me.codes) AS mine (key, code)
       JOIN ${s}.worker o ON o.id <> me.id AND o.lease_until > clock_timestamp() AND o.codes ->> mine.key <> mine.code
       WHERE me.id = $1 ORDER BY 2, 1`,
      [workerId],
    );
    for (const { name, offer } of others)
      log.warn(
        { saga: offer, otherWorker: name },
        'another worker offers this version with another code; a run that does not fit one of them is left to the other',
      );
    const { rows: abandoned } = await database.query<{ offer: string; runs: number }>(
      `SELECT m.offer, count(*)::int AS runs
       FROM (SELECT DISTINCT x.saga || '@' || x.version AS offer, x.saga_id
         FROM (SELECT saga, version, saga_id FROM ${s}.saga_mail ORDER BY id LIMIT 10000) x) m
       WHERE NOT EXISTS (SELECT 1 FROM ${s}.worker w WHERE w.lease_until > clock_timestamp() AND w.sagas ? m.offer)
       GROUP BY 1 ORDER BY 1`,
    );
    for (const { offer, runs } of abandoned)
      log.warn(
        { saga: offer, runs },
        'runs are called upon that no worker offers to go on with, perhaps by parents that wait for them: add that version to a worker',
      );
  } catch (error) {
    log.debug({ err: error }, 'what is under way could not be compared with what is declared');
  }
}
