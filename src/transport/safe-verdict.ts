/**
 * What a handler says of a delivery. One that throws, or gives no verdict, has not handled the message: it comes again later, which is a
 * verdict and does not count as a redelivery.
 */
import { describeError } from '../runtime/describe-error.ts';
import { lookable } from '../runtime/thrown.ts';
import type { Delivery, Verdict } from './port.ts';

/** How long a message waits then. */
const REJECTED_LATER_MS = 1000;

/** @param onError told of what the handler threw */
export async function safeVerdict(
  handle: (delivery: Delivery) => Promise<Verdict>,
  delivery: Delivery,
  onError: (error: Error) => void,
): Promise<Verdict> {
  try {
    return await handle(delivery);
  } catch (error) {
    return rejectedVerdict(error, onError);
  }
}

/** On a delivery whose handler threw this. For those to whom the promise of `safeVerdict` is one too many. */
export function rejectedVerdict(error: unknown, onError: (error: Error) => void): Verdict {
  const told = lookable(error);
  onError(told instanceof Error ? told : new Error(describeError(told)));
  return { kind: 'later', delayMs: REJECTED_LATER_MS };
}
