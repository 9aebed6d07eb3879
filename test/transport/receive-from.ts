/**
 * Receivers for tests of transports, past consumers: started, and stopped hard when the test is over.
 */
import { onTestFinished } from 'vitest';
import type { Delivery, Receiver, ReceiveOptions, Transport, Verdict } from '../../src/transport/port.ts';

/** By default one at a time, without order. */
export async function receiveFrom(
  transport: Transport,
  destination: string,
  handle: (delivery: Delivery) => Promise<Verdict>,
  options: Partial<ReceiveOptions> = {},
): Promise<Receiver> {
  const receiver = transport.receiver(destination, handle, { concurrency: 1, ordered: false, ...options });
  onTestFinished(() => receiver.stop({ signal: AbortSignal.abort(new Error('the test is over')) }));
  await receiver.start();
  return receiver;
}
