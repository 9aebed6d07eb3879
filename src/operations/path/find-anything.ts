/**
 * From what a person has in hand (an order's number, an id from a log, how an id begins) to what it is the name of, each with the verb that
 * shows it. What has an index is found whatever its age; keys and correlation ids of messages have none, and are looked for among the newest.
 */
import { HoldfastError } from '../../errors.ts';
import { isUuid } from '../../message/id.ts';
import type { Database } from '../../postgres/database.ts';
import type { Duration } from '../../runtime/duration.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { boundedRead, readJson, type BoundedRead } from '../reads/bounded.ts';
import { idDigits, uuidOf, uuidRange } from '../reads/id-prefix.ts';
import { readPageCursor, type PageCursor } from '../reads/page-cursor.ts';
import type { Looked } from '../reads/page-walk.ts';
import { checkLookFor, Conditions, walkMessages, type MessagePage } from '../reads/search-messages.ts';
import { leapsSql } from '../reads/written-by.ts';

/** What was found: a message of the log, one that is scheduled, parked or marked as handled, a run, a replay. */
export type FoundKind = 'message' | 'scheduled' | 'parked' | 'handled' | 'run' | 'replay';

/** By which of its names it was found. */
export type FoundBy = 'id' | 'key' | 'correlation id' | 'cause';

/** One thing that {@link findAnything} found. */
export interface Found {
  readonly kind: FoundKind;
  readonly id: string;
  readonly by: FoundBy;
  /** The topic of a message, the saga and version of a run, the subscription of a replay. */
  readonly name: string;
  readonly key: string | null;
  /** Of runs their status, of parked ones where they are parked and why. */
  readonly state: string | null;
  readonly at: Date | null;
  /** The command that shows it. */
  readonly show: string;
}

/** Options of {@link findAnything}. */
export interface FindOptions {
  /**
   * How long to look for keys and correlation ids among the newest messages, at most 10 s.
   *
   * @defaultValue '1s'
   */
  readonly lookFor?: Duration | undefined;
  /** Looks further, from where an earlier answer ended: `further` of that. */
  readonly cursor?: string | undefined;
}

/** What {@link findAnything} found. */
export interface Findings {
  readonly text: string;
  readonly found: readonly Found[];
  /** Ids that begin as the text does, when nothing has it as its name: at most 10. */
  readonly similar: readonly Found[];
  /** How far keys and correlation ids of messages were looked for. */
  readonly looked: Looked;
  /** Cursor to look further back among the messages; null: all were looked through, or the page is full. */
  readonly further: string | null;
  /** What else to try, when nothing was found; null otherwise. */
  readonly advice: string | null;
}

/** Messages of one key are listed up to here; `outbox ls --key` has them all. */
const MOST_OF_KEY = 20;
const MOST_LENGTH = 1_024;
const BESIDE_MS = 200;

/** Rejects with HF_CONFIG for an empty text or one that is too long to be a name, HF_OPTION_UNKNOWN, HF_DURATION, HF_READ_TIMEOUT. */
export async function findAnything(database: Database, text: string, options: FindOptions = {}): Promise<Findings> {
  refuseUnknownOptions(options, ['lookFor', 'cursor'], 'findAnything');
  const lookForMs = checkLookFor(options.lookFor ?? '1s');
  const wanted = nameToFind(text);
  const from = options.cursor === undefined ? null : readPageCursor(options.cursor, ['seq']);
  const digits = idDigits(wanted);
  const id = digits?.length === 32 ? uuidOf(digits) : null;
  return boundedRead(database, async (read) => {
    const byId = id === null ? [] : await namedById(read, id);
    const byKey = await runsByKey(read, wanted);
    // What was found by an index needs no long look for what else bears its name.
    const isFound = byId.length + byKey.length > 0;
    const byName = await messagesByName(read, {
      wanted: id ?? wanted,
      lookForMs: isFound ? Math.min(lookForMs, BESIDE_MS) : lookForMs,
      from,
    });
    const { looked } = byName;
    const found = uniqueOf([...byId, ...byKey, ...byName.found]);
    const similar = found.length > 0 || digits === null ? [] : await similarTo(read, digits);
    return {
      text: wanted,
      found,
      similar,
      looked,
      further: byName.older,
      advice: found.length > 0 ? null : adviceFor({ wanted, id, similar, looked }),
    };
  });
}

/** The text without blanks about it. Throws HF_CONFIG for an empty one, and for one that is too long to be a name. */
export function nameToFind(text: string): string {
  const wanted = typeof text === 'string' ? text.trim() : '';
  if (wanted !== '' && wanted.length <= MOST_LENGTH && !wanted.includes('\u0000')) return wanted;
  throw new HoldfastError('HF_CONFIG', 'There is nothing to look for.', {
    advice: `Give an id, a key, or how an id begins: at most ${MOST_LENGTH} characters.`,
  });
}

/** What a row says, for a command that shows it. */
interface FoundRow {
  readonly kind: FoundKind;
  readonly id: string;
  readonly by: FoundBy;
  readonly name: string;
  readonly key: string | null;
  readonly state: string | null;
  readonly at: number | null;
}

const VERBS: Readonly<Record<FoundKind, (id: string) => string>> = {
  message: (id) => `holdfast outbox path ${id}`,
  scheduled: (id) => `holdfast outbox show ${id}`,
  parked: (id) => `holdfast parked show ${id}`,
  handled: (id) => `holdfast outbox path ${id}`,
  run: (id) => `holdfast saga show ${id}`,
  replay: () => 'holdfast status',
};

function toFound({ at, ...row }: FoundRow): Found {
  return { ...row, at: at === null ? null : new Date(at), show: VERBS[row.kind](row.id) };
}

/** What has several names is listed by the first. */
function uniqueOf(found: readonly Found[]): readonly Found[] {
  const first = new Map<string, Found>();
  for (const each of found) {
    // One message can be parked in several places.
    const name = JSON.stringify([each.kind, each.id, each.kind === 'parked' ? each.state : null]);
    if (!first.has(name)) first.set(name, each);
  }
  return [...first.values()];
}

const ms = (column: string): string => `extract(epoch FROM ${column})::float8 * 1000`;
const messageColumns = (by: FoundBy): string =>
  `'message' AS kind, o.id, '${by}' AS by, o.topic AS name, o.key, NULL AS state, ${ms('o.created_at')} AS at`;
const runColumns = (by: FoundBy): string =>
  `'run' AS kind, r.id, '${by}' AS by, r.saga || '@' || r.version AS name, r.key, r.status AS state, ${ms('r.started_at')} AS at`;

/** Each by its primary key, or by an index that leads with the id. */
async function namedById(read: BoundedRead, id: string): Promise<readonly Found[]> {
  const { schema } = read;
  const found = await readJson<readonly FoundRow[]>(
    read,
    `WITH RECURSIVE ${leapsSql('marking', `${schema}.inbox`, 'consumer')},
       ${leapsSql('parking', `${schema}.parked_delivery`, 'consumer')}
     SELECT coalesce(json_agg(m), '[]')::text AS answer FROM (
       SELECT ${runColumns('id')} FROM ${schema}.saga_run r WHERE r.id = $1::uuid
       UNION ALL
       SELECT ${messageColumns('id')} FROM ${schema}.outbox o WHERE o.id = $1::uuid
       UNION ALL
       SELECT 'scheduled', s.id, 'id', s.topic, s.key, NULL, ${ms('s.due_at')} FROM ${schema}.scheduled_message s WHERE s.id = $1::uuid
       UNION ALL
       SELECT 'parked', p.id, 'id', p.topic, p.key, 'by relay ' || p.subscription || ': ' || p.reason, ${ms('p.parked_at')}
       FROM ${schema}.parked_message p WHERE p.id = $1::uuid
       UNION ALL
       SELECT 'parked', p.message_id, 'id', p.topic, p.key, 'by consumer ' || p.consumer || ': ' || p.reason, ${ms('p.parked_at')}
       FROM parking c JOIN ${schema}.parked_delivery p ON p.consumer = c.consumer AND p.message_id = $1::uuid
       UNION ALL
       SELECT 'replay', y.id, 'id', y.subscription, y.key, CASE WHEN y.finished_at IS NULL THEN 'open' ELSE 'finished' END, ${ms('y.requested_at')}
       FROM ${schema}.replay y WHERE y.id = $1::uuid
       UNION ALL
       SELECT 'handled', i.message_id, 'id', 'by consumer ' || i.consumer, NULL, NULL, ${ms('i.handled_at')}
       FROM marking c JOIN ${schema}.inbox i ON i.consumer = c.consumer AND i.message_id = $1::uuid
       WHERE NOT EXISTS (SELECT FROM ${schema}.outbox o WHERE o.id = $1::uuid)
         AND NOT EXISTS (SELECT FROM ${schema}.parked_delivery p WHERE p.consumer = i.consumer AND p.message_id = i.message_id)) m`,
    [id],
  );
  return (found?.value ?? []).map(toFound);
}

/** The index is by saga and key: the few sagas are leapt through. */
async function runsByKey(read: BoundedRead, key: string): Promise<readonly Found[]> {
  const { schema } = read;
  const runs = `${schema}.saga_run`;
  const found = await readJson<readonly FoundRow[]>(
    read,
    `WITH RECURSIVE named (saga) AS (
       (SELECT n.saga FROM ${runs} n WHERE n.key IS NOT NULL ORDER BY n.saga LIMIT 1)
       UNION ALL
       SELECT (SELECT n.saga FROM ${runs} n WHERE n.key IS NOT NULL AND n.saga > m.saga ORDER BY n.saga LIMIT 1)
       FROM named m WHERE m.saga IS NOT NULL)
     SELECT coalesce(json_agg(f), '[]')::text AS answer FROM (
       SELECT ${runColumns('key')} FROM named m JOIN ${runs} r ON r.saga = m.saga AND r.key = $1::text
       ORDER BY r.id DESC LIMIT ${MOST_OF_KEY}) f`,
    [key],
  );
  return (found?.value ?? []).map(toFound);
}

interface NameLook {
  readonly wanted: string;
  readonly lookForMs: number;
  readonly from: PageCursor | null;
}

/** Along the log, newest first, for a bounded time: none of these names has an index. */
async function messagesByName(
  read: BoundedRead,
  { wanted, lookForMs, from }: NameLook,
): Promise<Pick<MessagePage, 'looked' | 'older'> & { readonly found: readonly Found[] }> {
  const conditions = new Conditions();
  const name = conditions.add(wanted, 'text');
  conditions.filters.push(
    `(o.key = ${name} OR o.headers ->> 'correlationid' = ${name} OR o.headers ->> 'causationid' = ${name})`,
  );
  const { messages, looked, older } = await walkMessages(read, {
    order: 'seq',
    from,
    limit: MOST_OF_KEY,
    lookForMs,
    bounds: [],
    conditions,
  });
  const found = messages.map(({ id, topic, key, correlationId, createdAt }): Found => {
    const by = key === wanted ? 'key' : correlationId === wanted ? 'correlation id' : 'cause';
    return { kind: 'message', id, by, name: topic, key, state: null, at: createdAt, show: VERBS.message(id) };
  });
  return { found, looked, older };
}

const MOST_SIMILAR = 5;
/** As many digits as the time in an id has, when one that is whole is not there: a typing error further on. */
const TIME_DIGITS = 12;

async function similarTo(read: BoundedRead, digits: string): Promise<readonly Found[]> {
  const { schema } = read;
  const [first, last] = uuidRange(digits.length < 32 ? digits : digits.slice(0, TIME_DIGITS));
  const found = await readJson<readonly FoundRow[]>(
    read,
    `SELECT coalesce(json_agg(m), '[]')::text AS answer FROM (
       (SELECT ${runColumns('id')} FROM ${schema}.saga_run r WHERE r.id BETWEEN $1::uuid AND $2::uuid ORDER BY r.id DESC LIMIT ${MOST_SIMILAR})
       UNION ALL
       (SELECT ${messageColumns('id')} FROM ${schema}.outbox o WHERE o.id BETWEEN $1::uuid AND $2::uuid ORDER BY o.id DESC LIMIT ${MOST_SIMILAR})) m`,
    [first, last],
  );
  return (found?.value ?? []).map(toFound);
}

interface Missed {
  readonly wanted: string;
  readonly id: string | null;
  readonly similar: readonly Found[];
  readonly looked: Looked;
}

/** Pure. */
function adviceFor({ wanted, id, similar, looked }: Missed): string {
  const further = looked.complete
    ? ''
    : ' Keys and correlation ids were looked for among the newest messages only: go on with the cursor.';
  if (similar.length > 0)
    return id === null
      ? `No id is just that; ${similar.length} begin so.${further}`
      : `There is no such id; ${similar.length} were made in the same moment: is one of its digits wrong?${further}`;
  const digits = idDigits(wanted);
  if (!isUuid(wanted) && digits !== null && digits.length >= 20 && digits.length < 32)
    return `It has ${digits.length} digits of the 32 that an id has, and none begins so.${further}`;
  return `Retention prunes what is published and old, and runs that have ended; or its transaction was rolled back. Is this the right database and schema?${further}`;
}
