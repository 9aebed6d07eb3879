/**
 * What a consumer does with one delivery, from the broker's hand to the verdict. The decisions are decide.ts's; here they are
 * applied, with the waiting and counting between them.
 */
import { isHoldfastError } from '../../errors.ts';
import type { Envelope } from '../../message/envelope.ts';
import type { Delivery, Verdict } from '../../transport/port.ts';
import { attemptOnce } from './attempt.ts';
import {
  decideArrival,
  decideNext,
  decideSuspect,
  decideUnhandled,
  isForOthers,
  PARK_REASONS,
  type NextDecision,
  type Outcome,
  type Progress,
} from '../handlers/decide.ts';
import { noHandler, type ResolvedHandler } from '../handlers/handler.ts';
import { readIncoming, type Incoming } from './incoming.ts';
import { park } from './parking.ts';
import { policiesFor, topicLabel, type MessageOutcome, type ConsumerContext } from './consumer-context.ts';
import { describeHold } from '../handlers/classify-error.ts';
import { SimulatedCrash } from '../handlers/unit-of-work.ts';

const DONE: Verdict = { kind: 'done' };
/** Messages waiting for a predecessor that are remembered; beyond, the oldest wait is forgotten and begins anew. */
const MAX_AWAITING = 10_000;
/** Topics without a handler that are named in the log. */
const MAX_NAMED_TOPICS = 1_000;

type Readable = Incoming & { readonly envelope: Envelope };

export interface Deliverer {
  handle(delivery: Delivery): Promise<Verdict>;
}

/** @param since resolves with when this consumer first ran, in milliseconds since the epoch; asked by ordered consumers only */
export function createDeliverer<Tx>(context: ConsumerContext<Tx>, since: () => Promise<number>): Deliverer {
  /** Suspects are run one at a time, so that a death can be laid at one message's door. */
  let suspectLane: Promise<unknown> = Promise.resolve();
  const awaitingSinceMs = new Map<string, number>();
  const unknownTopics = new Set<string>();
  /**
   * Topics of which nobody took a message in time. Those that come after it are parked at once: in an ordered queue each would else hold
   * up others for as long again, and a process that has the handler takes them up from there just as well.
   */
  const untakenTopics = new Set<string>();

  function count(incoming: Incoming, outcome: MessageOutcome): void {
    context.counts.messages.inc({ consumer: context.name, topic: topicLabel(context, incoming.topic), outcome });
  }

  function acknowledge(incoming: Incoming, outcome: MessageOutcome): Verdict {
    count(incoming, outcome);
    context.crash('inbox.ack:before');
    return DONE;
  }

  function later(incoming: Incoming, delayMs: number): Verdict {
    count(incoming, 'later');
    return { kind: 'later', delayMs };
  }

  async function handle(delivery: Delivery): Promise<Verdict> {
    const incoming = readIncoming(delivery.wire);
    const handler = context.handlers.get(incoming.topic);
    const policies = policiesFor(context, handler);
    const arrival = decideArrival({
      decodeError: incoming.error,
      hasHandler: handler !== undefined,
      redeliveries: delivery.redeliveries,
      policies,
    });
    if (arrival.do === 'park') return parkAndAcknowledge(delivery, incoming, { ...arrival, attempts: 0, marked: true });
    if (!isReadable(incoming)) throw new TypeError('decideArrival parks what cannot be read');
    if (arrival.do === 'hand on' || handler === undefined) return withoutHandler(delivery, incoming);
    const work = (): Promise<Verdict> => untilDecided(delivery, incoming, handler);
    return arrival.suspect ? asSuspect(delivery, incoming, handler, work) : work();
  }

  /** Attempt after attempt, until there is a verdict. */
  async function untilDecided(delivery: Delivery, incoming: Readable, handler: ResolvedHandler<Tx>): Promise<Verdict> {
    const policies = policiesFor(context, handler);
    const startedMs = context.clock.monotonic();
    let attempt = 1;
    let conflicts = 0;
    let holds = 0;
    let holdStartedMs = 0;
    let heldMs = 0;
    for (;;) {
      if (delivery.signal.aborted) return later(incoming, 0);
      const outcome = await tryOnce(delivery, incoming, handler, attempt);
      const nowMs = context.clock.monotonic();
      if (outcome.kind === 'conflict') conflicts += 1;
      else conflicts = 0;
      if (outcome.kind !== 'unavailable') {
        if (holds > 0) heldMs += nowMs - holdStartedMs;
        holds = 0;
      } else if (holds === 0) holdStartedMs = nowMs;
      const progress: Progress = {
        attempt,
        elapsedMs: nowMs - startedMs - heldMs,
        conflicts,
        holds,
        heldMs: outcome.kind === 'unavailable' ? nowMs - holdStartedMs : 0,
        awaitedMs: awaited(incoming, outcome, nowMs),
        stopping: context.stopping().aborted,
      };
      const next = decideNext(outcome, progress, policies);
      report(incoming, outcome, next, attempt);
      switch (next.do) {
        case 'acknowledge':
          return acknowledge(incoming, acknowledgedAs(outcome));
        case 'later':
          return later(incoming, next.delayMs);
        case 'park':
          awaitingSinceMs.delete(incoming.id);
          return parkAndAcknowledge(delivery, incoming, {
            ...next,
            attempts: outcome.kind === 'awaiting' ? 0 : attempt,
            // Its mark may be committed, with the part of its effect that came before: it is shown all the same.
            marked: marks(handler) && !endedItsTransaction(next.error),
          });
        case 'again':
          if (next.because === 'hold') holds += 1;
          if (next.because === 'failed') {
            attempt += 1;
            context.counts.retries.inc({ consumer: context.name, topic: incoming.topic });
          }
          if (next.delayMs > 0) await pause(next.delayMs, delivery.signal);
      }
    }
  }

  async function tryOnce(
    delivery: Delivery,
    incoming: Readable,
    handler: ResolvedHandler<Tx>,
    attempt: number,
  ): Promise<Outcome> {
    let sinceMs = 0;
    if (context.ordered && incoming.envelope.predecessor !== null) {
      try {
        sinceMs = await since();
      } catch (error) {
        return { kind: 'unavailable', error };
      }
    }
    return attemptOnce(context, { incoming, handler, attempt, signal: delivery.signal, parked: false, sinceMs });
  }

  /** Ends early when the consumer stops or the delivery is taken away. */
  async function pause(delayMs: number, signal: AbortSignal): Promise<void> {
    await context.clock.sleep(delayMs, AbortSignal.any([signal, context.stopping()]));
  }

  /**
   * How long the message has waited for its predecessor: since it was sent, or since this process knows of it. A message that waits can
   * hold up other keys, and all that they sent meanwhile: counted from here alone, their waits would add up, key after key.
   */
  function awaited(incoming: Readable, outcome: Outcome, nowMs: number): number {
    if (outcome.kind === 'awaiting' || isForOthers(outcome)) return waitedFor(incoming, nowMs);
    if (awaitingSinceMs.size > 0 && outcome.kind !== 'unavailable' && outcome.kind !== 'busy')
      awaitingSinceMs.delete(incoming.id);
    return 0;
  }

  function waitedFor({ id, envelope }: Readable, nowMs: number): number {
    const ageMs = Math.max(0, context.clock.now() - envelope.time.getTime());
    const sinceMs = awaitingSinceMs.get(id);
    if (sinceMs !== undefined) return Math.max(ageMs, nowMs - sinceMs);
    awaitingSinceMs.set(id, nowMs);
    if (awaitingSinceMs.size > MAX_AWAITING) {
      for (const oldest of awaitingSinceMs.keys()) {
        awaitingSinceMs.delete(oldest);
        break;
      }
    }
    return ageMs;
  }

  /** Nothing is acknowledged before it is parked: while the database is away, this holds and then gives the message back. */
  async function parkAndAcknowledge(
    delivery: Delivery,
    incoming: Incoming,
    parking: Extract<NextDecision, { do: 'park' }> & { readonly attempts: number; readonly marked: boolean },
  ): Promise<Verdict> {
    const verdict = await held(delivery, incoming, async () => {
      const result = await park(context, { incoming, ...parking });
      if (result.kind === 'unavailable') throw result.error;
      return result.kind;
    });
    if (typeof verdict !== 'string') return verdict;
    if (verdict === 'duplicate') return acknowledge(incoming, 'duplicate');
    context.log.error(
      {
        id: incoming.id,
        topic: incoming.topic,
        key: incoming.key,
        reason: parking.reason,
        attempts: parking.attempts,
        retryInMs: parking.retryInMs,
        err: parking.error,
      },
      'message parked',
    );
    return acknowledge(incoming, 'parked');
  }

  /** Runs what must not fail, again and again while the database is away; then gives the message back. */
  async function held<T extends string>(
    delivery: Delivery,
    incoming: Incoming,
    work: () => Promise<T>,
  ): Promise<T | Verdict> {
    const startedMs = context.clock.monotonic();
    for (let holds = 0; ; holds += 1) {
      try {
        return await work();
      } catch (error) {
        if (error instanceof SimulatedCrash) throw error;
        const progress: Progress = {
          attempt: 1,
          elapsedMs: 0,
          conflicts: 0,
          holds,
          heldMs: context.clock.monotonic() - startedMs,
          awaitedMs: 0,
          stopping: context.stopping().aborted || delivery.signal.aborted,
        };
        const outcome: Outcome = { kind: 'unavailable', error };
        const next = decideNext(outcome, progress, policiesFor(context, undefined));
        report(incoming, outcome, next, 1);
        if (next.do !== 'again') return later(incoming, next.do === 'later' ? next.delayMs : 0);
        await pause(next.delayMs, delivery.signal);
      }
    }
  }

  /** No handler here: back to the queue, parked when that has taken too long, or ignored where somebody said so. */
  async function withoutHandler(delivery: Delivery, incoming: Readable): Promise<Verdict> {
    const { id, topic } = incoming;
    const next = decideUnhandled({
      ignored: context.ignores(topic),
      waitedMs: waitedFor(incoming, context.clock.monotonic()),
      handlerWaitMs: untakenTopics.has(topic) ? 0 : context.handlerWaitMs,
      ordered: context.ordered,
    });
    if (next.do === 'return') {
      nameOnce(
        topic,
        'no handler for this topic here: its messages go back for processes that have one, then are parked',
      );
      return later(incoming, next.delayMs);
    }
    awaitingSinceMs.delete(id);
    if (next.do === 'park') {
      if (untakenTopics.size < MAX_NAMED_TOPICS) untakenTopics.add(topic);
      const error = noHandler(context.name, topic);
      const parking = { do: 'park', reason: PARK_REASONS.noHandler, error, retryInMs: null } as const;
      return parkAndAcknowledge(delivery, incoming, { ...parking, attempts: 0, marked: true });
    }
    nameOnce(topic, 'no handler for this topic: its messages are acknowledged unread, as `ignore` says');
    return ignore(delivery, incoming);
  }

  function nameOnce(topic: string, what: string): void {
    if (unknownTopics.has(topic) || unknownTopics.size >= MAX_NAMED_TOPICS) return;
    unknownTopics.add(topic);
    context.log.warn({ topic, code: 'HF_NO_HANDLER' }, what);
  }

  /** Done with; an ordered consumer also marks it, since successors may name it. */
  async function ignore(delivery: Delivery, incoming: Incoming): Promise<Verdict> {
    if (context.ordered && incoming.key !== null) {
      const verdict = await held(delivery, incoming, async () => {
        await context.work.transaction((execute) => context.inbox.tryMark(execute, incoming.id));
        return 'marked';
      });
      if (typeof verdict !== 'string') return verdict;
    }
    return acknowledge(incoming, 'ignored');
  }

  async function asSuspect(
    delivery: Delivery,
    incoming: Readable,
    handler: ResolvedHandler<Tx>,
    work: () => Promise<Verdict>,
  ): Promise<Verdict> {
    const turn = suspectLane.then(() => examine(delivery, incoming, handler, work));
    suspectLane = turn.catch(() => {});
    return turn;
  }

  async function examine(
    delivery: Delivery,
    incoming: Readable,
    handler: ResolvedHandler<Tx>,
    work: () => Promise<Verdict>,
  ): Promise<Verdict> {
    if (delivery.signal.aborted) return later(incoming, 0);
    context.crash('inbox.suspect:before');
    const found = await held(delivery, incoming, () =>
      context.work.transaction(async (execute) => {
        if (marks(handler) && (await context.inbox.has(execute, incoming.id))) {
          await context.suspects.clear(execute, incoming.id);
          return 'duplicate';
        }
        return decideSuspect(await context.suspects.markAttempt(execute, incoming.id));
      }),
    );
    context.crash('inbox.suspect:after');
    if (typeof found !== 'string') return found;
    if (found === 'duplicate') return acknowledge(incoming, 'duplicate');
    if (found === 'park') {
      return parkAndAcknowledge(delivery, incoming, {
        do: 'park',
        reason: PARK_REASONS.crashed,
        error: null,
        retryInMs: null,
        attempts: 0,
        marked: true,
      });
    }
    const verdict = await work();
    // This process lives, whatever came of the message.
    await held(delivery, incoming, async () => {
      await context.work.transaction((execute) => context.suspects.clear(execute, incoming.id));
      return 'cleared';
    });
    return verdict;
  }

  function report(incoming: Incoming, outcome: Outcome, next: NextDecision, attempt: number): void {
    if (!('error' in outcome) || next.do === 'park') return;
    const fields = { id: incoming.id, topic: incoming.topic, attempt, err: outcome.error, next: next.do };
    if (isForOthers(outcome)) context.log.debug(fields, 'not for this process: the message goes back');
    else if (outcome.kind === 'lost') context.log.error(fields, 'an at-most-once handler failed: the message is lost');
    else if (outcome.kind === 'unavailable') context.log.warn(fields, describeHold(outcome.error));
    else if (outcome.kind === 'conflict') context.log.debug(fields, 'serialization conflict');
    else context.log.warn(fields, 'an attempt failed');
  }

  return { handle };
}

function isReadable(incoming: Incoming): incoming is Readable {
  return incoming.envelope !== null;
}

function marks(handler: { readonly kind: string }): boolean {
  return handler.kind === 'exactly-once' || handler.kind === 'at-most-once';
}

function endedItsTransaction(error: unknown): boolean {
  return isHoldfastError(error, 'HF_PERMANENT') && error.details['transactionEnded'] === true;
}

function acknowledgedAs(outcome: Outcome): MessageOutcome {
  switch (outcome.kind) {
    case 'duplicate':
    case 'gone':
      return 'duplicate';
    case 'behind':
      return 'parked';
    case 'lost':
      return 'lost';
    default:
      return 'handled';
  }
}
