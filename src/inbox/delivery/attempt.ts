/**
 * One attempt to handle a message: the transaction, the mark, the handler, the commit, and what each failure means. How, depends on the kind
 * of the handler. Deliveries and parked messages both come through here.
 */
import type { SqlExecutor } from '../../postgres/executor.ts';
import { classifySqlError, passesByItself } from '../../postgres/sql-state.ts';
import { decideOrdered, PARK_REASONS, predecessorWaived, type AttemptOutcome } from '../handlers/decide.ts';
import { runHandler } from '../handlers/handler-run.ts';
import type { ResolvedHandler } from '../handlers/handler.ts';
import type { EffectRefused } from '../handlers/recording.ts';
import { keyLock, type OrderedArrival } from '../stores/inbox-store.ts';
import { sentAt, wireText, type Incoming, type ReadableIncoming } from './incoming.ts';
import type { ConsumerContext } from './consumer-context.ts';
import { isUnrelatedToDatabase, isRefusedValue, isServerFailure } from '../handlers/classify-error.ts';
import type { TransactionEnd, OpenUnitOfWork, Statement, UnitOfWorkResult } from '../handlers/unit-of-work.ts';

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
  /** See OpenRecord. */
  readonly refusal?: EffectRefused;
}

/** Rejects only for a simulated crash. */
export async function attemptOnce<Tx>(
  context: ConsumerContext<Tx>,
  attempt: DeliveryAttempt<Tx>,
): Promise<AttemptOutcome> {
  const { handler, incoming } = attempt;
  let payload: unknown;
  try {
    payload = await handler.decode(incoming.envelope, incoming.wire);
  } catch (error) {
    return { kind: 'failed', error };
  }
  switch (handler.kind) {
    case 'exactly-once':
      return inTransaction(context, attempt, payload, enterExactlyOnce(context, attempt, payload));
    case 'idempotent':
      return inTransaction(context, attempt, payload, enterUnmarked(context, attempt));
    case 'window':
      return inWindow(context, attempt, payload);
    case 'at-most-once':
      return atMostOnce(context, attempt, payload);
  }
}

/** What the names of its crash points begin with. */
function crashPointsOf({ parked, batched }: { readonly parked: boolean; readonly batched?: boolean }): string {
  if (batched === true) return 'batch';
  return parked ? 'parked' : 'inbox';
}

/** Why a message is not entered; see AttemptOutcome. */
type NotEntered = 'duplicate' | 'behind' | 'awaiting' | 'busy' | 'gone';

/** How a transaction begins, and what its first statements found: 'enter', or what its record was found to be, or why not. */
interface Entry<Tx, Found = 'enter' | RecordFound> {
  readonly opening: readonly Statement[];
  /** A promise only where something has to be asked. */
  enter(opened: OpenUnitOfWork<Tx>): Found | NotEntered | Promise<Found | NotEntered>;
}

interface RecordFound {
  readonly record: object;
}

/** Of a transaction: beside what may come of an attempt, that the refusal of its handler is to be recorded by another transaction. */
export type EnteredOutcome = AttemptOutcome | { readonly kind: 'refused'; readonly refusal: EffectRefused };

async function inTransaction<Tx>(
  context: ConsumerContext<Tx>,
  attempt: DeliveryAttempt<Tx>,
  payload: unknown,
  entry: Entry<Tx>,
): Promise<AttemptOutcome> {
  const points = crashPointsOf(attempt);
  const result = await context.work.run<EnteredOutcome>(
    entry.opening,
    async (opened) => {
      const entering = entry.enter(opened);
      const found = entering instanceof Promise ? await entering : entering;
      if (found === 'behind' || (found === 'duplicate' && attempt.parked))
        return { end: 'commit', value: { kind: found } };
      if (found === 'enter') return handleIn(context, { attempt, payload, record: null }, opened);
      if (typeof found === 'string') return { end: 'rollback', value: { kind: found } };
      return handleIn(context, { attempt, payload, record: found.record }, opened);
    },
    { timeoutMs: attempt.handler.timeoutMs, points, lanes: attempt.parked ? null : context.lanes },
  );
  const outcome = outcomeOf(result, attempt, payload);
  if (outcome.kind !== 'refused') return outcome;
  // With everything rolled back, and not to a savepoint, which each message would pay for: the mark and the record are written again.
  // Whoever came in between is found by them.
  return inTransaction(context, { ...attempt, refusal: outcome.refusal }, payload, entry);
}

interface Entered<Tx> {
  readonly attempt: DeliveryAttempt<Tx>;
  readonly payload: unknown;
  /** What was found, of a handler that keeps records. */
  readonly record: object | null;
  /** Takes what the record is to be closed with, once the handler is done; else its statements are made at once. */
  readonly gather?: (closings: readonly object[]) => void;
}

/** Runs the handler in a transaction that is open, and the message entered. */
export async function handleIn<Tx>(
  context: ConsumerContext<Tx>,
  { attempt, payload, record, gather }: Entered<Tx>,
  opened: OpenUnitOfWork<Tx>,
): Promise<TransactionEnd<EnteredOutcome>> {
  const points = crashPointsOf(attempt);
  const { recording } = attempt.handler;
  const closings: object[] = [];
  context.crash(`${points}.handler:before`);
  const startedMs = context.clock.monotonic();
  const result = await runHandler({
    handler: attempt.handler,
    payload,
    opened,
    record:
      record === null
        ? null
        : { found: record, refusal: attempt.refusal ?? null, close: (closing) => closings.push(closing) },
    message: attempt.incoming.envelope,
    span: attempt.incoming.span ?? null,
    attempt: attempt.attempt,
    outbox: context.outbox,
    deadlines: context.deadlines,
    signal: attempt.signal,
    onStray: (error) =>
      context.log.error(
        { err: error, id: attempt.incoming.id, topic: attempt.incoming.topic },
        'a promise that a handler left behind was rejected, which counts for nothing: await it in the handler',
      ),
  });
  context.counts.seconds.observe(
    { consumer: context.name, topic: attempt.incoming.topic },
    (context.clock.monotonic() - startedMs) / 1000,
  );
  context.crash(`${points}.handler:after`);
  if (result.kind === 'done') {
    gather?.(closings);
    if (gather !== undefined) return { end: 'commit', value: { kind: 'handled' } };
    const closing = closings.length === 0 ? undefined : recording?.closeStatements(closings);
    return { end: 'commit', value: { kind: 'handled' }, closing };
  }
  if (result.kind === 'refused') return { end: 'rollback', value: result };
  if (result.kind === 'failed') return { end: 'rollback', value: handlerOutcome(result.error) };
  if (result.hung) await opened.sever();
  return {
    end: 'rollback',
    value:
      result.kind === 'aborted' ? { kind: 'aborted', error: result.error } : { kind: 'failed', error: result.error },
  };
}

function handlerOutcome(error: unknown): AttemptOutcome {
  if (isConflict(error)) return { kind: 'conflict', error };
  return { kind: isServerFailure(error) ? 'unavailable' : 'failed', error };
}

function outcomeOf<Tx, Outcome extends EnteredOutcome>(
  result: UnitOfWorkResult<Outcome>,
  { handler, incoming }: DeliveryAttempt<Tx>,
  payload: unknown,
): AttemptOutcome | Outcome {
  if (result.kind === 'ended') return result.value;
  const { phase, error } = result;
  if (isConflict(error)) return { kind: 'conflict', error };
  switch (phase) {
    case 'opening':
      // Nothing was run, so the message is not at fault, unless PostgreSQL refuses a value of it or the error is not the database's at all.
      return { kind: isRefusedValue(error) || isUnrelatedToDatabase(error) ? 'failed' : 'unavailable', error };
    case 'body':
      // A statement of our own: what handlers throw does not come out this way.
      return { kind: passesByItself(error) ? 'unavailable' : 'failed', error };
    case 'closing': {
      // A statement of our own, of which it is known that it did not run.
      if (passesByItself(error)) return { kind: 'unavailable', error };
      const { envelope } = incoming;
      const explained = handler.recording?.explainClosing(error, { envelope, payload });
      return { kind: 'failed', error: explained ?? error };
    }
    case 'commit':
      // A COMMIT whose connection broke may have happened; the next attempt's mark tells. One that the server refused has not.
      return handlerOutcome(error);
  }
}

/** With the mark, and with the record where the handler keeps one: in one statement, unless the message is ordered or was parked. */
function enterExactlyOnce<Tx>(context: ConsumerContext<Tx>, attempt: DeliveryAttempt<Tx>, payload: unknown): Entry<Tx> {
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
function enterMarked<Tx>(context: ConsumerContext<Tx>, attempt: DeliveryAttempt<Tx>): Entry<Tx, 'enter'> {
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
      if (found === 'behind') await parkBehind(context, execute, incoming);
      return found;
    },
  };
}

/** Without a mark; a parked row still has to be taken. */
function enterUnmarked<Tx>(context: ConsumerContext<Tx>, attempt: DeliveryAttempt<Tx>): Entry<Tx, 'enter'> {
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
        if (!(await context.inbox.has(execute, arrival.predecessorId))) return 'awaiting';
      }
      if (handler.kind === 'exactly-once') await context.inbox.mark(execute, incoming.id);
      await context.parked.remove(execute, incoming.id);
      return 'enter';
    },
  };
}

async function inWindow<Tx>(
  context: ConsumerContext<Tx>,
  attempt: DeliveryAttempt<Tx>,
  payload: unknown,
): Promise<AttemptOutcome> {
  const { window } = context;
  if (window === null) throw new TypeError('consumer() lets no window handler pass without a window');
  try {
    if (await window.seen(context.name, attempt.incoming.id)) {
      // Parked, and handled since by a duplicate, which this kind lets through.
      if (attempt.parked)
        await context.work.transaction((execute) => context.parked.remove(execute, attempt.incoming.id));
      return { kind: 'duplicate' };
    }
  } catch (error) {
    return { kind: 'unavailable', error };
  }
  const outcome = await inTransaction(context, attempt, payload, enterUnmarked(context, attempt));
  if (outcome.kind !== 'handled') return outcome;
  context.crash('inbox.window:before');
  try {
    await window.mark(context.name, attempt.incoming.id);
  } catch (error) {
    // The effect is committed. To run it again because of the mark is exactly what must not happen.
    context.log.warn(
      { err: error, id: attempt.incoming.id },
      'could not mark a handled message in the window: a duplicate of it would be handled again',
    );
  }
  context.crash('inbox.window:after');
  return outcome;
}

async function atMostOnce<Tx>(
  context: ConsumerContext<Tx>,
  attempt: DeliveryAttempt<Tx>,
  payload: unknown,
): Promise<AttemptOutcome> {
  const points = crashPointsOf(attempt);
  const entry = enterMarked(context, { ...attempt, handler: { ...attempt.handler, kind: 'exactly-once' } });
  const marked = await context.work.run<AttemptOutcome>(
    entry.opening,
    async (opened) => {
      const found = await entry.enter(opened);
      return {
        end: found === 'enter' || found === 'behind' ? 'commit' : 'rollback',
        value: { kind: found === 'enter' ? 'handled' : found },
      };
    },
    { timeoutMs: attempt.handler.timeoutMs, points, lanes: attempt.parked ? null : context.lanes },
  );
  const entered = outcomeOf(marked, attempt, payload);
  // A mark whose COMMIT is in doubt counts as made: at most once.
  if (marked.kind === 'failed' && marked.phase === 'commit' && 'error' in entered && entered.kind !== 'conflict')
    return { kind: 'lost', error: entered.error };
  if (entered.kind !== 'handled') return entered;
  const outcome = await inTransaction(context, { ...attempt, parked: false }, payload, {
    opening: [],
    enter: () => 'enter',
  });
  return outcome.kind === 'handled' ? outcome : { kind: 'lost', error: 'error' in outcome ? outcome.error : undefined };
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
  { incoming, sinceMs }: DeliveryAttempt<Tx>,
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
    });
  return {
    messageId: incoming.id,
    key,
    lock: keyLock(context.name, key),
    predecessorId: waived ? null : predecessor.id,
    sentAt: sentAt(incoming.wire),
  };
}

/** Serialization failure or deadlock: the transaction was rolled back and may be run again as it is. */
export function isConflict(error: unknown): boolean {
  return classifySqlError(error) === 'conflict';
}
