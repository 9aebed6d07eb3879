/**
 * Tries to handle a message, attempt after attempt, until there is a verdict. handlers/decide.ts decides what comes next; this carries it
 * out.
 */
import { isHoldfastError } from '../../errors.ts';
import type { Verdict } from '../../transport/port.ts';
import { decideNext, isForOthers, type AttemptOutcome } from '../handlers/decide.ts';
import { DeliveryProgress } from '../handlers/delivery-progress.ts';
import { keepsMarks, type ResolvedHandler } from '../handlers/handler.ts';
import { attemptOnce } from './attempt.ts';
import { policiesFor, type ConsumerContext } from './consumer-context.ts';
import type { MessageOutcome } from './consumer-metrics.ts';
import type { DeliveryAttempt } from './entry.ts';
import type { ReadableIncoming } from './incoming.ts';
import type { TransactionSlots } from './transaction-slots.ts';
import type { DeliverySettlement } from './settlement.ts';
import type { WaitingMessages } from './waiting-messages.ts';

export class AttemptLoop<Tx> {
  readonly #context: ConsumerContext<Tx>;
  readonly #settlement: DeliverySettlement<Tx>;
  readonly #waiting: WaitingMessages;
  /** null: the receiver hands out no more messages at once than there may be transactions. */
  readonly #slots: TransactionSlots | null;

  constructor(
    context: ConsumerContext<Tx>,
    settlement: DeliverySettlement<Tx>,
    waiting: WaitingMessages,
    slots: TransactionSlots | null,
  ) {
    this.#context = context;
    this.#settlement = settlement;
    this.#waiting = waiting;
    this.#slots = slots;
  }

  async run(incoming: ReadableIncoming, handler: ResolvedHandler<Tx>, signal: AbortSignal): Promise<Verdict> {
    const context = this.#context;
    const settlement = this.#settlement;
    const policies = policiesFor(context, handler);
    const progress = new DeliveryProgress(context.clock.monotonic());
    for (;;) {
      if (signal.aborted) return settlement.later(incoming, 0);
      const outcome = await this.#tryOnce(incoming, handler, signal, progress.attempt);
      const nowMs = context.clock.monotonic();
      progress.cuts = context.cuts.note(incoming.id, outcome.kind);
      progress.note(outcome, nowMs, this.#awaitedMs(incoming, outcome, nowMs), context.stopping().aborted);
      const next = decideNext(outcome, progress, policies);
      settlement.report(incoming, outcome, next, progress.attempt);
      switch (next.do) {
        case 'acknowledge':
          return settlement.acknowledge(incoming, acknowledgedAs(outcome));
        case 'later':
          return settlement.later(incoming, next.delayMs);
        case 'park': {
          this.#waiting.forget(incoming.id);
          const { reason, error, retryInMs } = next;
          const attempts = outcome.kind === 'awaiting' ? 0 : progress.attempt;
          // The mark may be committed, with the part of its effect that came before: the message is shown all the same.
          const marked = keepsMarks(handler) && !hasEndedTransaction(error);
          return settlement.park({ incoming, reason, error, retryInMs, attempts, marked }, signal);
        }
        case 'again':
          progress.repeat(next);
          if (next.because === 'failed') context.counts.retries.inc({ consumer: context.name, topic: incoming.topic });
          if (next.delayMs > 0) await settlement.pause(next.delayMs, signal);
      }
    }
  }

  #tryOnce(
    incoming: ReadableIncoming,
    handler: ResolvedHandler<Tx>,
    signal: AbortSignal,
    attempt: number,
  ): Promise<AttemptOutcome> {
    const given = { incoming, handler, attempt, signal, parked: false, sinceMs: 0 };
    const { ordered } = this.#context;
    return ordered && incoming.envelope.predecessor !== null ? this.#tryBehind(given) : this.#tryNow(given);
  }

  /** One that names a predecessor. */
  async #tryBehind(given: DeliveryAttempt<Tx>): Promise<AttemptOutcome> {
    let sinceMs: number;
    try {
      sinceMs = await this.#context.firstRunMs();
    } catch (error) {
      return { kind: 'unavailable', error };
    }
    return this.#tryNow({ ...given, sinceMs });
  }

  #tryNow(given: DeliveryAttempt<Tx>): Promise<AttemptOutcome> {
    const context = this.#context;
    if (this.#slots === null) return attemptOnce(context, given);
    const { signal } = given;
    return this.#slots.run(async () =>
      signal.aborted ? { kind: 'aborted', error: signal.reason as unknown } : attemptOnce(context, given),
    );
  }

  /** How long the message has waited for its predecessor, or for another process that it is for; 0 when it waits for neither. */
  #awaitedMs(incoming: ReadableIncoming, outcome: AttemptOutcome, nowMs: number): number {
    if (outcome.kind === 'awaiting' || isForOthers(outcome)) return this.#waiting.waitedMs(incoming, nowMs);
    if (outcome.kind !== 'unavailable' && outcome.kind !== 'busy') this.#waiting.forget(incoming.id);
    return 0;
  }
}

/** The handler itself ended the transaction that was opened for it. */
function hasEndedTransaction(error: unknown): boolean {
  return isHoldfastError(error, 'HF_PERMANENT') && error.details['transactionEnded'] === true;
}

function acknowledgedAs(outcome: AttemptOutcome): MessageOutcome {
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
