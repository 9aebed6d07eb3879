/**
 * Settles a delivery: acknowledges it, gives it back to the broker, or parks and then acknowledges it. What an acknowledgement stands for is
 * committed first. While the database is away this waits, and then gives the message back.
 */
import { errorType } from '../../runtime/telemetry.ts';
import type { Verdict } from '../../transport/port.ts';
import { describeHold } from '../handlers/classify-error.ts';
import {
  decideNext,
  isForOthers,
  type NextDecision,
  type AttemptOutcome,
  type AttemptProgress,
} from '../handlers/decide.ts';
import { SimulatedCrash } from '../handlers/unit-of-work.ts';
import { policiesFor, topicLabel, type ConsumerContext, type WhyParked } from './consumer-context.ts';
import type { MessageOutcome } from './consumer-metrics.ts';
import type { Incoming } from './incoming.ts';
import { park, type Parking } from './parking.ts';

const DONE: Verdict = { kind: 'done' };

export class DeliverySettlement<Tx> {
  readonly #context: ConsumerContext<Tx>;
  /** By the clock of people, as the times of messages are. */
  #delayCountedAtMs = -Infinity;

  constructor(context: ConsumerContext<Tx>) {
    this.#context = context;
  }

  acknowledge(incoming: Incoming, outcome: MessageOutcome, why: WhyParked | null = null): Verdict {
    this.#count(incoming, outcome);
    this.#context.watch?.settled(incoming, outcome, why);
    incoming.span?.set({ 'holdfast.outcome': outcome });
    this.#context.crash('inbox.ack:before');
    return DONE;
  }

  later(incoming: Incoming, delayMs: number): Verdict {
    this.#count(incoming, 'later');
    this.#context.watch?.settled(incoming, 'later', null);
    incoming.span?.set({ 'holdfast.outcome': 'later' });
    return { kind: 'later', delayMs };
  }

  /** Acknowledges once the message is parked. */
  async park(parking: Parking, signal: AbortSignal): Promise<Verdict> {
    const { incoming } = parking;
    const stored = await this.untilStored(incoming, signal, async () => {
      const result = await park(this.#context, parking);
      if (result.kind === 'unavailable') throw result.error;
      return result.kind;
    });
    if (typeof stored !== 'string') return stored;
    if (stored === 'duplicate') return this.acknowledge(incoming, 'duplicate');
    const { id, topic, key } = incoming;
    const { reason, attempts, retryInMs, error } = parking;
    const fields = { id, topic, key, reason, attempts, retryInMs, err: error, ...incoming.span?.ids };
    this.#context.log.error(fields, 'message parked');
    incoming.span?.fail(error);
    return this.acknowledge(incoming, 'parked', parking);
  }

  /** Runs what must not fail, again and again while the database is away. Resolves with its result, or with the verdict `later`. */
  async untilStored<T extends string>(
    incoming: Incoming,
    signal: AbortSignal,
    work: () => Promise<T>,
  ): Promise<T | Verdict> {
    const context = this.#context;
    const startedMs = context.clock.monotonic();
    for (let holds = 0; ; holds += 1) {
      try {
        return await work();
      } catch (error) {
        if (error instanceof SimulatedCrash) throw error;
        const progress: AttemptProgress = {
          attempt: 1,
          elapsedMs: 0,
          conflicts: 0,
          cuts: 0,
          holds,
          heldMs: context.clock.monotonic() - startedMs,
          awaitedMs: 0,
          stopping: context.stopping().aborted || signal.aborted,
        };
        const outcome: AttemptOutcome = { kind: 'unavailable', error };
        const next = decideNext(outcome, progress, policiesFor(context, undefined));
        this.report(incoming, outcome, next, 1);
        if (next.do !== 'again') return this.later(incoming, next.do === 'later' ? next.delayMs : 0);
        await this.pause(next.delayMs, signal);
      }
    }
  }

  /** Ends early when the consumer stops or the delivery is taken away. */
  async pause(delayMs: number, signal: AbortSignal): Promise<void> {
    const { clock, stopping } = this.#context;
    await clock.sleep(delayMs, AbortSignal.any([signal, stopping()]));
  }

  /** Logs what an attempt met; a message that is parked is logged by `park`. */
  report(incoming: Incoming, outcome: AttemptOutcome, next: NextDecision, attempt: number): void {
    if (!('error' in outcome)) return;
    this.#context.watch?.failed(incoming, attempt, outcome.error);
    incoming.span?.event('attempt failed', { 'holdfast.attempt': attempt, 'error.type': errorType(outcome.error) });
    if (next.do === 'park') return;
    const { log } = this.#context;
    const { id, topic, span } = incoming;
    const fields = { id, topic, attempt, err: outcome.error, next: next.do, ...span?.ids };
    if (isForOthers(outcome)) log.debug(fields, 'not for this process: the message goes back');
    else if (outcome.kind === 'lost') log.error(fields, 'an at-most-once handler failed: the message is lost');
    else if (outcome.kind === 'unavailable') log.warn(fields, describeHold(outcome.error));
    else if (outcome.kind === 'conflict') log.debug(fields, 'serialization conflict');
    else if (outcome.kind === 'cut') log.warn(fields, 'the connection broke under a handler, or in its COMMIT');
    else log.warn(fields, 'an attempt failed');
  }

  #count({ topic, envelope }: Incoming, outcome: MessageOutcome): void {
    const { counts, name, clock } = this.#context;
    counts.messages.inc({ consumer: name, topic: topicLabel(this.#context, topic), outcome });
    if (outcome !== 'handled' || envelope === null) return;
    const nowMs = clock.now();
    // Under load one of many tells as much, and each costs.
    if (nowMs === this.#delayCountedAtMs) return;
    this.#delayCountedAtMs = nowMs;
    counts.delays.observe({ consumer: name }, Math.max(0, nowMs - envelope.time.getTime()) / 1_000);
  }
}
