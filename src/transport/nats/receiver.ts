/**
 * The Receiver over NATS. What it does while it runs is in receiving.ts, which the first start loads.
 */
import type { Receiver } from '../port.ts';
import { runningReceiver } from '../running-receiver.ts';
import { tokenOf } from './names.ts';
import type { NatsReceiverOptions } from './receiving.ts';

export function natsReceiver(options: NatsReceiverOptions): Receiver {
  // A stream that cannot be made would be tried again for ever, in the background.
  tokenOf(options.destination);
  return runningReceiver(options.destination, async () => {
    const { Receiving } = await import('./receiving.ts');
    return new Receiving(options);
  });
}
