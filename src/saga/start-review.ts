/**
 * What a worker finds when it compares what it declares with what is under way: runs that count on what it no longer has, another worker
 * with another code under the same version, runs that nobody offers to go on with. Said in the log when it starts; nothing is refused or
 * changed for it, and a run that does not fit is found again when it is taken up. Used by worker.ts.
 */
import type { Database } from '../postgres/database.ts';
import { quoteIdentifier } from '../postgres/quoting.ts';
import type { Logger } from '../runtime/log.ts';
import { stepOf, type AnySaga } from './definition.ts';
import type { CallKind } from './events.ts';
import { inputVersionOf } from './recorded-values.ts';
import { canCompensate } from './promises.ts';

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
  if (kind === 'sleep' || kind === 'wait') return null;
  const step = stepOf(saga, name);
  if (step === undefined || step.kind !== kind) return `declares no ${kind} ${name}`;
  if (undoable && !canCompensate(step)) return `declares the ${kind} ${name} without what undoes it`;
  const now = inputVersionOf(step);
  if (typeVersion === null || now === null || typeVersion === now || step.kind === 'child') return null;
  const type = step.kind === 'command' ? step.command : step.kind === 'emit' ? step.message : null;
  if (typeVersion > now)
    return `has ${type?.topic ?? name} in version ${now}, and it was recorded in version ${typeVersion}`;
  for (let from = typeVersion; from < now; from += 1)
    if (type?.upcasts.has(from) === false) return `has no upcast of ${type.topic} from version ${from}`;
  return null;
}

/** How many of the newest runs are looked at, and how many rows of each journal. */
const NEWEST = 1_000;
const ROWS = 200;

/** Never rejects: what cannot be asked is not said. */
export async function reviewUnderWay(
  database: Database,
  sagas: readonly AnySaga[],
  workerId: string,
  log: Logger,
): Promise<void> {
  const s = quoteIdentifier(database.schema);
  try {
    const { rows: counted } = await database.query<CountedOn>(
      `SELECT DISTINCT r.saga, r.version, e ->> 'step' AS step, e ->> 'kind' AS kind,
         coalesce((e ->> 'undoable')::boolean, false) AS undoable, (e ->> 'version')::int AS "typeVersion"
       FROM (SELECT id, saga, version, finished_at FROM ${s}.saga_run ORDER BY id DESC LIMIT ${NEWEST}) r
       JOIN ${s}.saga_journal j ON j.saga_id = r.id AND j.n < ${ROWS} AND j.bytes < 1000000
       CROSS JOIN LATERAL json_array_elements(j.events) e
       WHERE r.finished_at IS NULL AND e ->> 't' = 'called' ORDER BY 1, 2, 3`,
    );
    for (const each of counted) {
      const saga = sagas.find(({ name, version }) => name === each.saga && version === each.version);
      const what = saga === undefined ? null : missing(saga, each);
      if (what !== null)
        log.warn(
          { saga: each.saga, version: each.version, step: each.step },
          `runs are under way that this code cannot undo or go on with: it ${what}. Keep it until they have ended, or raise the version`,
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
