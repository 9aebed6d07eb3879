/**
 * Finds the messages of a batch that the transport's code fails on (a codec that throws, a stack that overflows), by publishing each
 * alone. They are refused for now, so that they are parked and everything else goes on.
 */
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import { describeError } from '../../runtime/describe-error.ts';
import type { OutboundMessage, PublishOutcome } from '../../transport/port.ts';
import { isTransportDefect } from '../../transport/shared.ts';

export interface Apart {
  /** Rejects when the broker does not answer. */
  readonly check: () => Promise<void>;
  readonly publish: (message: OutboundMessage) => Promise<readonly PublishOutcome[]>;
  /** Called before each: a batch may take its time. */
  readonly onAttempt: () => void;
}

/** Rejects when the broker does not answer: then it was that after all. */
export async function publishApart(
  batch: readonly OutboundMessage[],
  { check, publish, onAttempt }: Apart,
): Promise<readonly PublishOutcome[]> {
  await check();
  const outcomes: PublishOutcome[] = [];
  for (const message of batch) {
    onAttempt();
    try {
      // One after the other, in their order.
      // oxlint-disable-next-line no-await-in-loop
      outcomes.push(...(await publish(message)));
    } catch (error) {
      if (!isTransportDefect(error)) throw error;
      outcomes.push(refused(error));
    }
  }
  return outcomes;
}

function refused(error: unknown): PublishOutcome {
  const cause = isHoldfastError(error, 'HF_TRANSPORT_UNAVAILABLE') ? error.cause : error;
  const what = `The code of the transport fails on the message: ${describeError(cause)}.`;
  const advice = 'Mend the transport (or what it is given), then `holdfast parked retry`; or discard the message.';
  return { kind: 'refused', permanent: false, error: new HoldfastError('HF_MESSAGE_REFUSED', what, { advice, cause }) };
}
