/**
 * Hands batches to the broker and does not come back without an answer: an outage is waited out behind a circuit breaker, with
 * backoff, however long it takes.
 */
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import { createBreaker, isBreakerOpen, type Breaker } from '../../runtime/breaker.ts';
import type { Clock } from '../../runtime/clock.ts';
import { describeError } from '../../runtime/describe-error.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import type { Logger } from '../../runtime/log.ts';
import { backoffMs, type RetryPolicy } from '../../runtime/retry.ts';
import { lookable } from '../../runtime/thrown.ts';
import { withTimeout } from '../../runtime/timeout.ts';
import type { OutboundMessage, Publisher, PublishOutcome } from '../../transport/port.ts';
import { isTransportDefect } from '../../transport/shared.ts';
import type { ResolvedSubscription } from '../subscription/options.ts';
import { publishApart } from './publish-apart.ts';
import { startPublish, toldOutcomes } from './publish-span.ts';
import type { Session } from '../subscription/session.ts';

export interface Dispatcher {
  readonly breaker: Breaker;
  /**
   * One outcome per message, in order. Rejects with HF_LEASE_LOST, with the signal's reason, or with HF_STOPPED when a soft stop
   * comes during an outage; the outcome of the batch is then unknown and it must be published again by whoever holds the lease.
   */
  send(batch: readonly OutboundMessage[], session: Session, signal: AbortSignal): Promise<readonly PublishOutcome[]>;
}

export interface DispatcherOptions {
  readonly publisher: Publisher;
  readonly subscription: ResolvedSubscription;
  /** Aborted by a soft stop: work that goes well is finished, an outage is not waited out. */
  readonly stopping: () => AbortSignal;
  /** Called before each try, for an outage can keep one call here for hours that are no hang. */
  readonly onAttempt: () => void;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  readonly crashPoint: CrashPoint;
}

/** Waits between tries while the broker is away. No cap on attempts: nothing of an outage is any message's fault. */
const OUTAGE: RetryPolicy = { attempts: Infinity, baseMs: 50, capMs: 5_000, factor: 2, withinMs: Infinity };

export function createDispatcher(options: DispatcherOptions): Dispatcher {
  return new PatientDispatcher(options);
}

class PatientDispatcher implements Dispatcher {
  readonly breaker: Breaker;
  readonly #options: DispatcherOptions;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.breaker = createPublishBreaker(options, () => this.#checkBroker());
  }

  async send(
    batch: readonly OutboundMessage[],
    session: Session,
    signal: AbortSignal,
  ): Promise<readonly PublishOutcome[]> {
    if (batch.length === 0) return [];
    const { onAttempt, log } = this.#options;
    for (let failures = 1; ; failures += 1) {
      onAttempt();
      await session.leaseLeftMs();
      try {
        const outcomes = await this.breaker.run(() => this.#attempt(batch, session, signal));
        this.#answered(session);
        return outcomes;
      } catch (error) {
        throwIfOver(error, session, signal);
        const outcomes = isTransportDefect(error) ? await this.#sendApart(batch, session, signal, error) : null;
        if (outcomes !== null) return outcomes;
        if (session.trouble === null) log.warn({ err: error }, 'cannot publish; waiting for the broker');
        // What an open breaker says of itself would hide why it is open.
        session.trouble = describeError(isBreakerOpen(error) ? (this.breaker.lastFailure ?? error) : error);
        await this.#waitOut(error, failures, signal);
      }
    }
  }

  #checkBroker(): Promise<void> {
    const { publisher, subscription, clock } = this.#options;
    const timeoutMs = subscription.publishTimeoutMs;
    return withTimeout((signal) => publisher.check({ signal }), {
      timeoutMs,
      clock,
      onTimeout: () => timedOut('check', timeoutMs),
    });
  }

  /** One call of the broker. */
  async #attempt(
    batch: readonly OutboundMessage[],
    session: Session,
    signal: AbortSignal,
  ): Promise<readonly PublishOutcome[]> {
    const { publisher, subscription, clock, crashPoint } = this.#options;
    // A call that outlasts the lease could publish beside the next owner, so it is given up at the lease's end at the latest. Asked
    // here, because the breaker may have spent a while on finding out whether the broker is back.
    const timeoutMs = Math.min(subscription.publishTimeoutMs, await session.leaseLeftMs());
    const span = startPublish(batch, { subscription: subscription.name, transport: subscription.transport.kind });
    crashPoint('relay.publish:before');
    try {
      const outcomes = await withTimeout((callSignal) => publisher.publish(batch, { signal: callSignal }), {
        timeoutMs,
        signal,
        clock,
        onTimeout: () => timedOut('publish', timeoutMs),
      });
      crashPoint('relay.publish:after');
      if (outcomes.length !== batch.length) throw wrongNumber(outcomes.length, batch.length);
      if (span !== null) toldOutcomes(span, outcomes);
      return outcomes;
    } catch (thrown) {
      const error = lookable(thrown);
      span?.fail(error);
      throw error;
    } finally {
      span?.end();
    }
  }

  /** After a defect: which of the messages it is. Null when that could not be told. */
  async #sendApart(
    batch: readonly OutboundMessage[],
    session: Session,
    signal: AbortSignal,
    defect: unknown,
  ): Promise<readonly PublishOutcome[] | null> {
    const { onAttempt, log } = this.#options;
    log.warn({ err: defect }, 'the transport fails by an error of its code, not of the broker: publishing one by one');
    const publish = (message: OutboundMessage) => this.#attempt([message], session, signal);
    try {
      const outcomes = await publishApart(batch, { check: () => this.#checkBroker(), publish, onAttempt });
      this.#answered(session);
      return outcomes;
    } catch (error) {
      throwIfOver(error, session, signal);
      return null;
    }
  }

  #answered(session: Session): void {
    if (session.trouble !== null) this.#options.log.info({}, 'the broker answers again');
    session.trouble = null;
  }

  /** Until the next try. Rejects with HF_STOPPED after a soft stop. */
  async #waitOut(error: unknown, failures: number, signal: AbortSignal): Promise<void> {
    const { stopping, clock, random } = this.#options;
    if (stopping().aborted)
      throw new HoldfastError('HF_STOPPED', 'Stopped while the broker was away; the batch is left for the next run.', {
        cause: error,
      });
    const delayMs = isBreakerOpen(error) ? Math.max(1, this.breaker.openForMs) : backoffMs(OUTAGE, failures, random);
    await clock.sleep(delayMs, AbortSignal.any([signal, stopping()]));
  }
}

function createPublishBreaker({ subscription, clock, log }: DispatcherOptions, probe: () => Promise<void>): Breaker {
  const breaker = createBreaker({
    name: `The broker of subscription '${subscription.name}'`,
    consecutiveFailures: subscription.breaker.consecutiveFailures,
    halfOpenAfterMs: subscription.breaker.halfOpenAfterMs,
    clock,
    probe,
    isFailure: (error) => !isTransportDefect(error),
  });
  breaker.onStateChange((state, previous) => {
    // The tries of a long outage are not worth a line each.
    const said = state === 'half-open' || (previous === 'half-open' && state === 'open') ? 'debug' : 'info';
    log[said]({ breaker: state }, `circuit breaker ${state}`);
  });
  return breaker;
}

/** Throws when the whole call is over with it: stopped hard, or the lease is gone. */
function throwIfOver(error: unknown, session: Session, signal: AbortSignal): void {
  signal.throwIfAborted();
  session.assertAlive();
  if (isHoldfastError(error, 'HF_LEASE_LOST')) throw error;
}

function wrongNumber(outcomes: number, messages: number): HoldfastError {
  return new HoldfastError(
    'HF_TRANSPORT_UNAVAILABLE',
    `The transport gave ${outcomes} outcomes for ${messages} messages.`,
    { advice: 'This is a defect of the transport adapter.' },
  );
}

function timedOut(what: string, timeoutMs: number): HoldfastError {
  return new HoldfastError(
    'HF_TRANSPORT_UNAVAILABLE',
    `The broker did not answer a ${what} within ${Math.round(timeoutMs)} ms.`,
    {
      advice: 'Its outcome is unknown; it is done again.',
    },
  );
}
