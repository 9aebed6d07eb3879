/**
 * The run that a message belongs to: the call that sent it, or the call that it answers, as the journal of the run tells.
 */
import { isUuid } from '../../message/id.ts';
import { readWireCall } from '../../saga/definition/call-id.ts';
import type { JournalEvent, JournalRow } from '../../saga/journal/events.ts';
import type { CallRole } from '../../saga/protocol/wire.ts';
import { readJson, type BoundedRead } from '../reads/bounded.ts';
import { isWrittenBy } from '../reads/written-by.ts';
import { nameCalls } from '../sagas/sent-by-run.ts';
import type { ReplyFacts } from './path-message.ts';
import type { PathAnswer, PathMessage, PathOutcome, PathRun, PathSender } from './path-model.ts';

interface DatedEvent {
  readonly at: number;
  readonly event: JournalEvent;
}

interface CallStory {
  readonly run: PathRun | null;
  /** Of one call, in their order. */
  readonly events: readonly DatedEvent[];
  /** A reply for the call lies there and was not taken in. */
  readonly waiting: boolean;
}

/** Long journals belong to runs that repeat one call: its last events tell. */
const MOST_EVENTS = 1_000;

async function readCall(read: BoundedRead, runId: string, call: string): Promise<CallStory> {
  const { schema } = read;
  const found = await readJson<CallStory>(
    read,
    `SELECT json_build_object(
       'run', (SELECT row_to_json(m) FROM (
         SELECT r.id, r.saga, r.version, r.key, r.status FROM ${schema}.saga_run r WHERE r.id = $1::uuid) m),
       'events', (SELECT coalesce(json_agg(m ORDER BY m.n, m.place), '[]') FROM (
         SELECT j.n, e.place, extract(epoch FROM j.at)::float8 * 1000 AS at, e.event
         FROM ${schema}.saga_journal j CROSS JOIN LATERAL json_array_elements(j.events) WITH ORDINALITY AS e (event, place)
         WHERE j.saga_id = $1::uuid AND e.event ->> 'call' = $2::text
         ORDER BY j.n DESC, e.place DESC LIMIT ${MOST_EVENTS}) m),
       'waiting', EXISTS (SELECT FROM ${schema}.saga_mail q
         WHERE q.saga_id = $1::uuid AND q.kind = 'reply' AND q.body ->> 'call' IN ($2::text, $3::text)))::text AS answer`,
    [runId, readWireCall(call).id, call],
  );
  return found?.value ?? { run: null, events: [], waiting: false };
}

/** Null: no run of this database sent it, as far as can be known. */
export async function readSender(read: BoundedRead, message: PathMessage): Promise<PathSender | null> {
  const { command, createdAt } = message;
  if (command !== null) {
    const story = await readCall(read, command.run, command.call);
    return { runId: command.run, call: command.call, role: command.role, ...toldBy(story, command.role, createdAt) };
  }
  const row = await rowThatSent(read, message);
  if (row === null) return null;
  const { runId, name } = row;
  const story = name === null ? { ...row, events: [], waiting: false } : await readCall(read, runId, name.call);
  const role = name?.role ?? 'emitted';
  return { runId, call: name?.call ?? null, role, ...toldBy(story, role === 'emitted' ? 'command' : role, createdAt) };
}

/** Pure. */
function toldBy(
  { run, events }: CallStory,
  role: CallRole,
  sentAt: Date,
): Pick<PathSender, 'run' | 'attempt' | 'calledAt' | 'outcome'> {
  const failed = role === 'command' ? 'attempt failed' : 'compensation failed';
  const begun = role === 'command' ? 'called' : 'compensating';
  // The next sending comes only after the failure of the one before was recorded.
  const before = events.filter(({ event, at }) => event.t === failed && at <= sentAt.getTime());
  const last = before.at(-1)?.event;
  const calledAt = events.find(({ event }) => event.t === begun)?.at;
  return {
    run,
    attempt: last !== undefined && 'attempt' in last ? last.attempt + 1 : 1,
    calledAt: calledAt === undefined ? null : new Date(calledAt),
    outcome: outcomeOf(events, role),
  };
}

const ENDS: Readonly<Record<CallRole, readonly JournalEvent['t'][]>> = {
  command: ['done', 'failed', 'timed out', 'late reply', 'resolved'],
  compensation: ['compensated', 'skipped', 'resolved'],
};

/** Pure. The last word. */
function outcomeOf(events: readonly DatedEvent[], role: CallRole): PathOutcome | null {
  const last = events.findLast(({ event }) => ENDS[role].includes(event.t));
  return last === undefined ? null : { event: last.event.t, at: new Date(last.at) };
}

interface SendingRow {
  readonly runId: string;
  readonly run: PathRun;
  readonly name: { readonly call: string; readonly role: 'emitted' | 'compensation' } | null;
}

/** What a run emits bears its id as correlation, as does all that is answered to it: only the journal's own transaction is proof. */
async function rowThatSent(read: BoundedRead, { correlationId, xid, id }: PathMessage): Promise<SendingRow | null> {
  const { schema } = read;
  if (!isUuid(correlationId)) return null;
  const found = await readJson<{
    readonly run: PathRun;
    readonly row: JournalRow;
    readonly kinds: JournalRow['events'];
    readonly sent: readonly Parameters<typeof nameCalls>[0][number][];
  } | null>(
    read,
    `SELECT (SELECT row_to_json(m) FROM (
       SELECT json_build_object('id', r.id, 'saga', r.saga, 'version', r.version, 'key', r.key, 'status', r.status) AS run,
         json_build_object('n', j.n, 'at', extract(epoch FROM j.at)::float8 * 1000, 'events', j.events) AS row,
         (SELECT coalesce(json_agg(e.event), '[]') FROM ${schema}.saga_journal k
          CROSS JOIN LATERAL json_array_elements(k.events) AS e (event)
          WHERE k.saga_id = r.id AND k.n < j.n AND e.event ->> 't' = 'called'
            AND strpos(j.events::text, '"compensating"') > 0) AS kinds,
         (SELECT json_agg(s) FROM (
          SELECT j.n, o.id, o.seq::text AS seq, o.topic, o.key, 0 AS at, $1::text AS correlation, NULL AS causation,
            o.headers -> 'headers' ->> 'holdfast-saga' AS run, o.headers -> 'headers' ->> 'holdfast-call' AS call, NULL AS role
          FROM ${schema}.outbox o WHERE o.xid = $2::text::xid8 AND o.headers ->> 'correlationid' = $1::text ORDER BY o.seq LIMIT 1000) s) AS sent
       FROM ${schema}.saga_run r JOIN ${schema}.saga_journal j ON j.saga_id = r.id
       WHERE r.id = $1::text::uuid AND ${isWrittenBy('j', '$2::text::xid8')} LIMIT 1) m)::text AS answer`,
    [correlationId, xid],
  );
  if (found === null || found.value === null) return null;
  const { run, row, kinds, sent } = found.value;
  const named = nameCalls(sent, [{ n: -1, at: row.at, events: kinds }, row]).find((each) => each.id === id);
  const call = named?.call ?? null;
  const role = named?.role === 'compensation' ? 'compensation' : 'emitted';
  return { runId: run.id, run, name: call === null ? null : { call, role } };
}

/** Null: it is no reply. */
export async function readAnswer(
  read: BoundedRead,
  message: PathMessage,
  reply: ReplyFacts | null,
): Promise<PathAnswer | null> {
  if (reply === null) return null;
  const { runId, call, to, outcome } = reply;
  const story = await readCall(read, runId, call);
  // On the clocks of two servers, perhaps.
  const since = message.createdAt.getTime() - CLOCKS_APART_MS;
  const taken = story.events.find(({ event, at }) => at >= since && TAKEN[to].includes(event.t));
  return {
    run: story.run,
    runId,
    call: readWireCall(call).id,
    to,
    outcome,
    state: taken !== undefined ? 'taken in' : story.waiting ? 'waiting' : 'unknown',
    taken: taken === undefined ? null : { event: taken.event.t, at: new Date(taken.at) },
  };
}

const CLOCKS_APART_MS = 1_000;
const TAKEN: Readonly<Record<CallRole, readonly JournalEvent['t'][]>> = {
  command: ['done', 'failed', 'late reply'],
  compensation: ['compensated', 'compensation failed'],
};
