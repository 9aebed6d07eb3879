/**
 * How an attempt enters its message: the statements that go out with BEGIN, and what they found. The mark decides; for ordered consumers
 * also the line of the key and the predecessor, and for a parked message its row.
 */
import type { SqlExecutor } from '../../postgres/executor.ts';
import { decideOrdered, PARK_REASONS, predecessorWaived } from '../handlers/decide.ts';
import type { ResolvedHandler } from '../handlers/handler.ts';
import type { EffectRefused } from '../handlers/recording.ts';
import type { OpenUnitOfWork, Statement } from '../handlers/unit-of-work.ts';
import { keyLock, type OrderedArrival } from '../stores/inbox-store.ts';
import type { ConsumerContext } from './consumer-context.ts';
import { sentAt, wireText, type Incoming, type ReadableIncoming } from './incoming.ts';

/** What is to be attempted. */
export interface DeliveryAttempt<Tx> {
  readonly incoming: ReadableIncoming;
  readonly handler: ResolvedHandler<Tx>;
  /** Which attempt this is, from 1 on. */
  readonly attempt: number;
  readonly signal: AbortSignal;
  /** A parked message, taken up again: its row is in this consumer's hands and leaves in the same commit. */
  readonly parked: boolean;
  /** Other messages share its transaction. */
  readonly batched?: boolean;
  /** Ordered consumers: messages published before this need no predecessor. Milliseconds since the epoch. */
  readonly sinceMs: number;
  /** Ordered consumers: its predecessor was found missing before. */
  readonly missed?: boolean;
  /** See OpenRecord. */
  readonly refusal?: EffectRefused;
}

/** Why a message is not entered; see AttemptOutcome. */
type NotEntered = 'duplicate' | 'behind' | 'awaiting' | 'busy' | 'gone';

/** How a transaction begins, and what its first statements found: 'enter', or what its record was found to be, or why not. */
export interface Entry<Tx, Found = 'enter' | RecordFound> {
  readonly opening: readonly Statement[];
  /** A promise only where something has to be asked. */
  enter(opened: OpenUnitOfWork<Tx>): Found | NotEntered | Promise<Found | NotEntered>;
}

interface RecordFound {
  readonly record: object;
}

/** With the mark, and with the record where the handler keeps one: in one statement, unless the message is ordered or was parked. */
export function enterExactlyOnce<Tx>(
  context: ConsumerContext<Tx>,
  attempt: DeliveryAttempt<Tx>,
  payload: unknown,
): Entry<Tx> {
  const { incoming, handler, parked } = attempt;
  const { recording } = handler;
  if (recording === null) return enterMarked(context, attempt);
  const messages = [{ envelope: incoming.envelope, payload }];
  if (!parked && (!context.ordered || incoming.key === null)) {
    return {
      opening: [recording.openStatement(messages, false)],
      enter({ results }) {
        const record = results[0] === undefined ? null : (recording.readOpened(results[0])[0] ?? null);
        return record === null ? 'duplicate' : { record };
      },
    };
  }
  const marked = enterMarked(context, attempt);
  return {
    opening: marked.opening,
    async enter(opened) {
      const found = await marked.enter(opened);
      if (found !== 'enter') return found;
      const { sql, parameters } = recording.openStatement(messages, true);
      const rows = await opened.execute(sql, parameters);
      const record = recording.readOpened({ rows, count: rows.length })[0] ?? null;
      if (record === null) throw new TypeError('A record that goes with a mark was not opened.');
      return { record };
    },
  };
}

/** The mark decides; for ordered consumers, also the line of the key and the predecessor. */
export function enterMarked<Tx>(context: ConsumerContext<Tx>, attempt: DeliveryAttempt<Tx>): Entry<Tx, 'enter'> {
  const { incoming, parked } = attempt;
  const arrival = context.ordered && incoming.key !== null ? orderedArrival(context, attempt, incoming.key) : null;
  if (parked) return enterParked(context, attempt, arrival);
  if (arrival === null) {
    return {
      opening: [context.inbox.markStatement(incoming.id)],
      enter: ({ results }) => ((results[0]?.count ?? 0) > 0 ? 'enter' : 'duplicate'),
    };
  }
  return {
    opening: context.inbox.orderedMarkStatements(arrival),
    async enter({ results, execute }) {
      const locked = results[0]?.rows[0]?.['locked'] === 'true';
      if (locked && (results[1]?.count ?? 0) > 0) return 'enter';
      const facts = await context.inbox.orderedFacts(execute, arrival);
      const found = decideOrdered(incoming.id, { locked, ...facts });
      if (found === 'enter') {
        if (!(await context.inbox.tryMark(execute, incoming.id))) return 'duplicate';
        if (facts.head?.awaits === incoming.id) await context.parked.wakeSuccessor(execute, incoming.id, arrival.key);
        return 'enter';
      }
      if (found === 'behind') {
        await parkBehind(context, execute, incoming);
        // It may stand before what waits now, and nothing else would take it up.
        const awaits = facts.head?.awaits ?? null;
        if (awaits !== null) await context.parked.wakeFirst(execute, arrival.key, { waiting: awaits === incoming.id });
      }
      return found;
    },
  };
}

/** Without a mark; a parked row still has to be taken. */
export function enterUnmarked<Tx>(context: ConsumerContext<Tx>, attempt: DeliveryAttempt<Tx>): Entry<Tx, 'enter'> {
  return attempt.parked ? enterParked(context, attempt, null) : { opening: [], enter: () => 'enter' };
}

/** Who holds the lock on the row of a parked message may run it. The row is deleted in the same commit. */
function enterParked<Tx>(
  context: ConsumerContext<Tx>,
  { incoming, handler }: DeliveryAttempt<Tx>,
  arrival: OrderedArrival | null,
): Entry<Tx, 'enter'> {
  return {
    opening: arrival === null ? [] : [context.inbox.lockStatement(arrival.lock)],
    async enter({ results, execute }) {
      if (arrival !== null && results[0]?.rows[0]?.['locked'] !== 'true') return 'busy';
      const row = await context.parked.lock(execute, incoming.id, context.ordered);
      if (row === null) return 'gone';
      if (arrival !== null && arrival.predecessorId !== null && row.reason !== PARK_REASONS.released) {
        const { predecessorId } = arrival;
        const seen = await context.inbox.has(execute, predecessorId);
        // What broker and replays bring may come to the line in any order. It goes on in the order in which it was sent.
        if (await context.parked.moveBehindEarlier(execute, incoming.id, seen ? predecessorId : null)) return 'behind';
        if (!seen) return 'awaiting';
      }
      if (handler.kind === 'exactly-once') await context.inbox.mark(execute, incoming.id);
      await context.parked.remove(execute, incoming.id);
      return 'enter';
    },
  };
}

async function parkBehind<Tx>(context: ConsumerContext<Tx>, execute: SqlExecutor, incoming: Incoming): Promise<void> {
  await context.inbox.mark(execute, incoming.id);
  await context.parked.insert(execute, {
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

export function orderedArrival<Tx>(
  context: ConsumerContext<Tx>,
  { incoming, sinceMs, missed = false }: DeliveryAttempt<Tx>,
  key: string,
): OrderedArrival {
  const { predecessor } = incoming.envelope;
  const waived =
    predecessor === null ||
    predecessorWaived({
      atMs: predecessor.at.getTime(),
      sentMs: predecessor.sentAt?.getTime() ?? null,
      followedMs: predecessor.followedAt?.getTime() ?? null,
      nowMs: context.clock.now(),
      retentionMs: context.retentionMs,
      sinceMs,
      missed,
    });
  return {
    messageId: incoming.id,
    key,
    lock: keyLock(context.name, key),
    predecessorId: waived ? null : predecessor.id,
    sentAt: sentAt(incoming.wire),
  };
}
