/**
 * One attempt to handle a message: the transaction, the mark, the handler, the commit, and what each failure means. How, depends on the kind
 * of the handler. Deliveries and parked messages both come through here.
 */
import { classifySqlError, passesByItself } from '../../postgres/sql-state.ts';
import { lookable } from '../../runtime/thrown.ts';
import type { AttemptOutcome } from '../handlers/decide.ts';
import { runHandler } from '../handlers/handler-run.ts';
import type { EffectRefused } from '../handlers/recording.ts';
import type { ConsumerContext } from './consumer-context.ts';
import { enterExactlyOnce, enterMarked, enterUnmarked, type DeliveryAttempt, type Entry } from './entry.ts';
import { isMeant, isUnrelatedToDatabase, isRefusedValue, isServerFailure } from '../handlers/classify-error.ts';
import type { TransactionEnd, OpenUnitOfWork, UnitOfWorkResult } from '../handlers/unit-of-work.ts';

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
    return { kind: 'failed', error: lookable(error) };
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
  if (result.kind === 'ended') return result.cut === true ? cutShort(result.value) : result.value;
  const { phase, error } = result;
  if (isConflict(error)) return { kind: 'conflict', error };
  switch (phase) {
    case 'opening':
      // Nothing was run, so the message is not at fault, unless PostgreSQL refuses a value of it or the error is not the database's at all.
      return { kind: isRefusedValue(error) || isUnrelatedToDatabase(error) ? 'failed' : 'unavailable', error };
    case 'body':
      // A statement of our own: what handlers throw does not come out this way.
      return { kind: passesByItself(error) ? 'unavailable' : 'failed', error };
    case 'cut':
      return { kind: 'cut', error };
    case 'closing': {
      // A statement of our own, of which it is known that it did not run.
      if (passesByItself(error)) return { kind: 'unavailable', error };
      const { envelope } = incoming;
      const explained = handler.recording?.explainClosing(error, { envelope, payload });
      return { kind: 'failed', error: explained ?? error };
    }
    case 'commit':
      // A COMMIT whose connection broke may have happened; the next attempt's mark tells. One that the server refused has not.
      return classifySqlError(error) === 'connection' ? { kind: 'cut', error } : handlerOutcome(error);
  }
}

/** The connection broke: whatever the handler made of that is no fault of the message, unless it says no for certain. */
function cutShort<Outcome extends EnteredOutcome>(outcome: Outcome): AttemptOutcome | Outcome {
  if (outcome.kind !== 'failed' && outcome.kind !== 'unavailable') return outcome;
  return isMeant(outcome.error) ? outcome : { kind: 'cut', error: outcome.error };
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

/** Serialization failure or deadlock: the transaction was rolled back and may be run again as it is. */
export function isConflict(error: unknown): boolean {
  return classifySqlError(error) === 'conflict';
}
