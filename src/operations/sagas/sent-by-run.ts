/**
 * The messages that a run sent. They left in the commits that recorded their calls, so they are found by the transactions of the journal's
 * rows. What was sent again, because no reply came, left in a commit that records nothing (sent-again.ts).
 */
import { isHoldfastError } from '../../errors.ts';
import type { Database } from '../../postgres/database.ts';
import type { JournalEvent, JournalRow } from '../../saga/journal/events.ts';
import type { Kind } from '../../saga/kinds/kind.ts';
import { boundedRead, readJson, readLastJson, type BoundedRead } from '../reads/bounded.ts';
import { refColumns, toMessageRef, type MessageRef, type RefRow } from '../reads/message-ref.ts';
import { ofTransactionSql, writerSql } from '../reads/written-by.ts';
import { knownKind, rangesSentAgain, readSentAgain, type SeqRange } from './sent-again.ts';

/** What a message of a run is: a command, what compensates one, one that nobody answers, or what a transaction step wrote by itself. */
export type SentRole = 'command' | 'compensation' | 'emitted' | 'written';

/** A message that a run sent. */
export interface SentByRun extends MessageRef {
  /** The call that it is for; null: its journal does not say. */
  readonly call: string | null;
  readonly role: SentRole;
}

/** What {@link showRun} knows of the messages of a run. */
export interface SentMessages {
  /** Those still in the log, in its order. Of a command that was sent again and again, the first and the last sendings. */
  readonly messages: readonly SentByRun[];
  /** What the service wrote in the transaction that started the run. */
  readonly startedWith: readonly MessageRef[];
  /** False: there are more than 1000, or they could not all be looked for in time. */
  readonly complete: boolean;
}

const MOST = 1_000;
/** What a service writes beside a start is little; a transaction that writes thousands is one of many starts. */
const MOST_BESIDE = 20;

/** Of a message whose commit has no row in the journal. */
const NO_ROW = -1;

interface FoundRow extends RefRow {
  readonly n: number;
}

/** Of the journal as it was read. Rejects as boundedRead. */
export async function sentByRun(
  database: Database,
  runId: string,
  journal: readonly JournalRow[],
): Promise<SentMessages> {
  try {
    const ranges = await rangesSentAgain(database, journal);
    return await boundedRead(database, (read) => readSent(read, { runId, journal, ranges }));
  } catch (error) {
    // A role may see runs and not the log (docs/roles.md).
    if (isHoldfastError(error, 'HF_PERMISSION')) return NOTHING_KNOWN;
    throw error;
  }
}

const NOTHING_KNOWN: SentMessages = { messages: [], startedWith: [], complete: false };

interface Wanted {
  readonly runId: string;
  readonly journal: readonly JournalRow[];
  readonly ranges: readonly SeqRange[];
}

async function readSent(read: BoundedRead, { runId, journal, ranges }: Wanted): Promise<SentMessages> {
  const ends = endsOfCalls(journal);
  const own = journal.filter((row) => transactionOf(row, ends) !== null).map(({ n }) => n);
  // A client writes just that into the first row; a worker that starts a run itself writes it together with others.
  const isStarted = journal[0]?.n === 0 && journal[0].events.every(({ t }) => t === 'started');
  const recorded = await readRecorded(read, runId, { own, isStarted, isLast: ranges.length === 0 });
  if (recorded === null) return NOTHING_KNOWN;
  const again = await readSentAgain(read, runId, ranges);
  const isBeside = (row: FoundRow): boolean => isStarted && row.n === 0 && row.correlation !== runId;
  const found = new Map<string, FoundRow>();
  for (const row of [...recorded, ...again.rows.map((each) => ({ ...each, n: NO_ROW }))]) {
    if (!isBeside(row) && (row.run === null || row.run === runId) && !found.has(row.id)) found.set(row.id, row);
  }
  const messages = nameCalls([...found.values()].slice(0, MOST), journal);
  return {
    messages: messages.toSorted((one, other) => one.seq - other.seq),
    startedWith: recorded.filter(isBeside).slice(0, MOST_BESIDE).map(toMessageRef),
    complete: recorded.length <= MOST && again.whole,
  };
}

interface Recorded {
  /** Rows of the journal whose own transactions wrote messages. */
  readonly own: readonly number[];
  readonly isStarted: boolean;
  /** Nothing else is asked. */
  readonly isLast: boolean;
}

/** By the transactions of the journal's rows; null: not in time. */
async function readRecorded(
  read: BoundedRead,
  runId: string,
  { own, isStarted, isLast }: Recorded,
): Promise<readonly FoundRow[] | null> {
  const { schema } = read;
  const ask = isLast ? readLastJson<readonly FoundRow[]> : readJson<readonly FoundRow[]>;
  const found = await ask(
    read,
    `SELECT coalesce(json_agg(m ORDER BY m.seq::bigint), '[]')::text AS answer FROM (
       SELECT j.n, ${refColumns('o')} FROM ${schema}.saga_journal j
       CROSS JOIN LATERAL (
         SELECT x.* FROM (${ofTransactionSql(schema, writerSql('j'))}) x WHERE (
           x.headers ->> 'correlationid' = $1::uuid::text OR j.n = ANY ($2::int[])
           OR (j.n = 0 AND $3::boolean AND x.headers -> 'headers' ->> 'holdfast-saga' IS NULL))
         ORDER BY x.seq LIMIT ${MOST + 1}) o
       WHERE j.saga_id = $1::uuid ORDER BY j.n LIMIT ${MOST + 1}) m`,
    [runId, own, isStarted],
  );
  return found?.value ?? null;
}

/** How calls end, by their ids. */
type Ends = ReadonlyMap<string, Kind['endsBy'] | undefined>;

function endsOfCalls(journal: readonly JournalRow[]): Ends {
  const called = journal.flatMap(({ events }) => events.filter((event) => event.t === 'called'));
  return new Map(called.map((event) => [event.call, knownKind(event)?.endsBy]));
}

/** The call whose own transaction wrote the row; null: it was written together with those of other runs. */
function transactionOf({ events }: JournalRow, ends: Ends): Leaving | null {
  for (const event of events) {
    if (event.t !== 'done' && event.t !== 'compensated') continue;
    if (ends.get(event.call) !== 'transaction' || (event.t === 'done' && event.degraded !== undefined)) continue;
    return { call: event.call, role: event.t === 'done' ? 'written' : 'compensation' };
  }
  return null;
}

/**
 * Pure. Commands say whose they are. What was emitted does not: it left in the order in which the row of its commit names the calls.
 */
export function nameCalls(
  found: readonly (RefRow & { readonly n: number })[],
  journal: readonly JournalRow[],
): readonly SentByRun[] {
  const ends = endsOfCalls(journal);
  const rows = new Map(journal.map((row) => [row.n, row]));
  const emitted = new Map<number, Leaving[]>();
  return found.map((each): SentByRun => {
    const ref = toMessageRef(each);
    if (ref.command !== null) return { ...ref, call: ref.command.call, role: ref.command.role };
    const row = rows.get(each.n);
    const transaction = row === undefined ? null : transactionOf(row, ends);
    if (transaction !== null) return { ...ref, ...transaction };
    const left = emitted.get(each.n) ?? emittedIn(row?.events ?? [], ends);
    emitted.set(each.n, left);
    return { ...ref, ...(left.shift() ?? { call: null, role: 'emitted' }) };
  });
}

interface Leaving {
  readonly call: string;
  readonly role: SentRole;
}

function emittedIn(events: readonly JournalEvent[], ends: Ends): Leaving[] {
  return events.flatMap((event): readonly Leaving[] => {
    if (event.t === 'called' && ends.get(event.call) === 'commit') return [{ call: event.call, role: 'emitted' }];
    if (event.t === 'compensating' && ends.get(event.call) === 'commit')
      return [{ call: event.call, role: 'compensation' }];
    return [];
  });
}
