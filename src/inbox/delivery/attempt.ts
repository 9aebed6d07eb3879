/**
 * One attempt to handle a message, by the kind of its handler: the transaction, the mark, the handler, the commit, and what each
 * failure means. Used by deliver.ts for deliveries and by redrive.ts for parked messages.
 */
import type { Envelope } from '../../message/envelope.ts';
import type { SqlExecutor } from '../../postgres/executor.ts';
import { classifySqlError, passesByItself } from '../../postgres/sql-state.ts';
import { decideOrdered, PARK_REASONS, predecessorWaived, type Outcome } from '../handlers/decide.ts';
import { runHandler } from '../handlers/handler-run.ts';
import type { ResolvedHandler } from '../handlers/handler.ts';
import { keyLock, type OrderedArrival } from '../stores/inbox-store.ts';
import { sentAt, wireText, type Incoming } from './incoming.ts';
import type { Room } from './room.ts';
import { isNotTheDatabase, isRefusedValue, isServerTrouble } from '../handlers/trouble.ts';
import type { Ending, Opened, Statement, WorkResult } from '../handlers/work.ts';

export interface Attempt<Tx> {
  readonly incoming: Incoming & { readonly envelope: Envelope };
  readonly handler: ResolvedHandler<Tx>;
  /** Which attempt this is, from 1 on. */
  readonly attempt: number;
  readonly signal: AbortSignal;
  /** A parked message, taken up again: its row is in this consumer's hands and leaves in the same commit. */
  readonly parked: boolean;
  /** Ordered consumers: messages published before this need no predecessor. Milliseconds since the epoch. */
  readonly sinceMs: number;
}

/** Rejects only for a simulated crash. */
export async function attemptOnce<Tx>(room: Room<Tx>, attempt: Attempt<Tx>): Promise<Outcome> {
  const { handler, incoming } = attempt;
  let payload: unknown;
  try {
    payload = await handler.decode(incoming.envelope, incoming.wire);
  } catch (error) {
    return { kind: 'failed', error };
  }
  switch (handler.kind) {
    case 'exactly-once':
      return inTransaction(room, attempt, payload, enterMarked(room, attempt));
    case 'idempotent':
      return inTransaction(room, attempt, payload, enterUnmarked(room, attempt));
    case 'window':
      return inWindow(room, attempt, payload);
    case 'at-most-once':
      return atMostOnce(room, attempt, payload);
  }
}

/** How a transaction begins, and what its first statements found: 'enter', or why not. */
interface Entry<Tx> {
  readonly opening: readonly Statement[];
  enter(opened: Opened<Tx>): Promise<'enter' | 'duplicate' | 'behind' | 'awaiting' | 'busy' | 'gone'>;
}

async function inTransaction<Tx>(
  room: Room<Tx>,
  attempt: Attempt<Tx>,
  payload: unknown,
  entry: Entry<Tx>,
): Promise<Outcome> {
  const points = attempt.parked ? 'parked' : 'inbox';
  const result = await room.work.run<Outcome>(
    entry.opening,
    async (opened) => {
      const found = await entry.enter(opened);
      if (found === 'behind' || (found === 'duplicate' && attempt.parked))
        return { end: 'commit', value: { kind: found } };
      if (found !== 'enter') return { end: 'rollback', value: { kind: found } };
      return handleIn(room, attempt, payload, opened, points);
    },
    { timeoutMs: attempt.handler.timeoutMs, points },
  );
  return outcomeOf(result);
}

async function handleIn<Tx>(
  room: Room<Tx>,
  attempt: Attempt<Tx>,
  payload: unknown,
  opened: Opened<Tx>,
  points: string,
): Promise<Ending<Outcome>> {
  room.crash(`${points}.handler:before`);
  const startedMs = room.clock.monotonic();
  const result = await runHandler({
    handler: attempt.handler,
    payload,
    opened,
    message: attempt.incoming.envelope,
    attempt: attempt.attempt,
    outbox: room.outbox,
    deadlines: room.deadlines,
    signal: attempt.signal,
    onStray: (error) =>
      room.log.error(
        { err: error, id: attempt.incoming.id, topic: attempt.incoming.topic },
        'a promise that a handler left behind was rejected, which counts for nothing: await it in the handler',
      ),
  });
  room.counts.seconds.observe(
    { consumer: room.name, topic: attempt.incoming.topic },
    (room.clock.monotonic() - startedMs) / 1000,
  );
  room.crash(`${points}.handler:after`);
  if (result.kind === 'done') return { end: 'commit', value: { kind: 'handled' } };
  if (result.kind === 'failed') return { end: 'rollback', value: handlerOutcome(result.error) };
  if (result.hung) await opened.sever();
  return {
    end: 'rollback',
    value:
      result.kind === 'aborted' ? { kind: 'aborted', error: result.error } : { kind: 'failed', error: result.error },
  };
}

function handlerOutcome(error: unknown): Outcome {
  if (isConflict(error)) return { kind: 'conflict', error };
  return { kind: isServerTrouble(error) ? 'unavailable' : 'failed', error };
}

function outcomeOf(result: WorkResult<Outcome>): Outcome {
  if (result.kind === 'ended') return result.value;
  const { phase, error } = result;
  if (isConflict(error)) return { kind: 'conflict', error };
  switch (phase) {
    case 'opening':
      // Nothing was run, so nothing can be held against the message, except a value that PostgreSQL refuses, or what is not its doing.
      return { kind: isRefusedValue(error) || isNotTheDatabase(error) ? 'failed' : 'unavailable', error };
    case 'body':
      // A statement of our own: what handlers throw does not come out this way.
      return { kind: passesByItself(error) ? 'unavailable' : 'failed', error };
    case 'commit':
      // A COMMIT whose connection broke may have happened; the next attempt's mark tells. One that the server refused has not.
      return handlerOutcome(error);
  }
}

/** The mark decides; for ordered consumers, also the line of the key and the predecessor. */
function enterMarked<Tx>(room: Room<Tx>, attempt: Attempt<Tx>): Entry<Tx> {
  const { incoming, parked } = attempt;
  const arrival = room.ordered && incoming.key !== null ? orderedArrival(room, attempt, incoming.key) : null;
  if (parked) return enterParked(room, attempt, arrival);
  if (arrival === null) {
    return {
      opening: [room.inbox.markStatement(incoming.id)],
      enter: async ({ results }) => ((results[0]?.count ?? 0) > 0 ? 'enter' : 'duplicate'),
    };
  }
  return {
    opening: room.inbox.orderedMarkStatements(arrival),
    async enter({ results, execute }) {
      const locked = results[0]?.rows[0]?.['locked'] === 'true';
      if (locked && (results[1]?.count ?? 0) > 0) return 'enter';
      const facts = await room.inbox.orderedFacts(execute, arrival);
      const found = decideOrdered(incoming.id, { locked, ...facts });
      if (found === 'enter') {
        if (!(await room.inbox.tryMark(execute, incoming.id))) return 'duplicate';
        if (facts.head?.awaits === incoming.id) await room.parked.wakeSuccessor(execute, incoming.id, arrival.key);
        return 'enter';
      }
      if (found === 'behind') await parkBehind(room, execute, incoming);
      return found;
    },
  };
}

/** Without a mark; a parked row still has to be taken. */
function enterUnmarked<Tx>(room: Room<Tx>, attempt: Attempt<Tx>): Entry<Tx> {
  return attempt.parked ? enterParked(room, attempt, null) : { opening: [], enter: async () => 'enter' };
}

/** The row of a parked message is its token: whoever holds its lock runs it, and it leaves in the same commit. */
function enterParked<Tx>(
  room: Room<Tx>,
  { incoming, handler }: Attempt<Tx>,
  arrival: OrderedArrival | null,
): Entry<Tx> {
  return {
    opening: arrival === null ? [] : [room.inbox.lockStatement(arrival.lock)],
    async enter({ results, execute }) {
      if (arrival !== null && results[0]?.rows[0]?.['locked'] !== 'true') return 'busy';
      const row = await room.parked.lock(execute, incoming.id, room.ordered);
      if (row === null) return 'gone';
      if (arrival !== null && arrival.predecessorId !== null && row.reason !== PARK_REASONS.released) {
        if (!(await room.inbox.has(execute, arrival.predecessorId))) return 'awaiting';
      }
      if (handler.kind === 'exactly-once') await room.inbox.mark(execute, incoming.id);
      await room.parked.remove(execute, incoming.id);
      return 'enter';
    },
  };
}

async function inWindow<Tx>(room: Room<Tx>, attempt: Attempt<Tx>, payload: unknown): Promise<Outcome> {
  const { window } = room;
  if (window === null) throw new TypeError('consumer() lets no window handler pass without a window');
  try {
    if (await window.seen(room.name, attempt.incoming.id)) {
      // Parked, and handled since by a duplicate, which this kind lets through.
      if (attempt.parked) await room.work.transaction((execute) => room.parked.remove(execute, attempt.incoming.id));
      return { kind: 'duplicate' };
    }
  } catch (error) {
    return { kind: 'unavailable', error };
  }
  const outcome = await inTransaction(room, attempt, payload, enterUnmarked(room, attempt));
  if (outcome.kind !== 'handled') return outcome;
  room.crash('inbox.window:before');
  try {
    await window.mark(room.name, attempt.incoming.id);
  } catch (error) {
    // The effect is committed; running it again for the sake of the mark would be the very thing to avoid.
    room.log.warn(
      { err: error, id: attempt.incoming.id },
      'could not mark a handled message in the window: a duplicate of it would be handled again',
    );
  }
  room.crash('inbox.window:after');
  return outcome;
}

async function atMostOnce<Tx>(room: Room<Tx>, attempt: Attempt<Tx>, payload: unknown): Promise<Outcome> {
  const points = attempt.parked ? 'parked' : 'inbox';
  const entry = enterMarked(room, { ...attempt, handler: { ...attempt.handler, kind: 'exactly-once' } });
  const marked = await room.work.run<Outcome>(
    entry.opening,
    async (opened) => {
      const found = await entry.enter(opened);
      return {
        end: found === 'enter' || found === 'behind' ? 'commit' : 'rollback',
        value: { kind: found === 'enter' ? 'handled' : found },
      };
    },
    { timeoutMs: attempt.handler.timeoutMs, points },
  );
  const entered = outcomeOf(marked);
  // A mark whose COMMIT is in doubt counts as made: at most once.
  if (marked.kind === 'failed' && marked.phase === 'commit' && 'error' in entered && entered.kind !== 'conflict')
    return { kind: 'lost', error: entered.error };
  if (entered.kind !== 'handled') return entered;
  const outcome = await inTransaction(room, { ...attempt, parked: false }, payload, {
    opening: [],
    enter: async () => 'enter',
  });
  return outcome.kind === 'handled' ? outcome : { kind: 'lost', error: 'error' in outcome ? outcome.error : undefined };
}

async function parkBehind<Tx>(room: Room<Tx>, execute: SqlExecutor, incoming: Incoming): Promise<void> {
  await room.inbox.mark(execute, incoming.id);
  await room.parked.insert(execute, {
    messageId: incoming.id,
    topic: incoming.topic,
    key: incoming.key,
    envelope: wireText(incoming.wire),
    state: 'behind',
    reason: PARK_REASONS.behind,
    error: null,
    attempts: 0,
    retryInMs: null,
    line: { sentAt: sentAt(incoming.wire) },
  });
}

function orderedArrival<Tx>(room: Room<Tx>, { incoming, sinceMs }: Attempt<Tx>, key: string): OrderedArrival {
  const { predecessor } = incoming.envelope;
  const waived =
    predecessor === null ||
    predecessorWaived({
      atMs: predecessor.at.getTime(),
      sentMs: predecessor.sentAt?.getTime() ?? null,
      followedMs: predecessor.followedAt?.getTime() ?? null,
      nowMs: room.clock.now(),
      retentionMs: room.retentionMs,
      sinceMs,
    });
  return {
    messageId: incoming.id,
    key,
    lock: keyLock(room.name, key),
    predecessorId: waived ? null : predecessor.id,
    sentAt: sentAt(incoming.wire),
  };
}

/** Serialization failure or deadlock: the transaction was rolled back and may be run again as it is. */
function isConflict(error: unknown): boolean {
  return classifySqlError(error) === 'conflict';
}
