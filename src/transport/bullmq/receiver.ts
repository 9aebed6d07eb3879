/**
 * The Receiver of both BullMQ transports. What it does while it runs is in receiving.ts, which the first start loads.
 */
import { runningReceiver } from '../running-receiver.ts';
import { type BullmqBroker, loading } from './broker.ts';
import type { BullmqSettings } from './options.ts';
import type { Delivery, ReceiveOptions, Receiver, Verdict } from '../port.ts';

export interface BullmqReceiverOptions {
  readonly broker: BullmqBroker;
  readonly settings: BullmqSettings;
  readonly destination: string;
  readonly handle: (delivery: Delivery) => Promise<Verdict>;
  readonly options: ReceiveOptions;
}

export function bullmqReceiver({ broker, ...options }: BullmqReceiverOptions): Receiver {
  const { settings, destination } = options;
  // A worker that cannot be made would be tried again for ever, in the background.
  settings.naming.assertDestination(destination);
  return runningReceiver(destination, async () => {
    const { kind } = broker;
    const connections = await broker.load();
    const { startReceiving } = await loading(kind, () => import('./receiving.ts'));
    const connection = connections.openReceiverConnection(settings);
    return startReceiving({ kind, connection, ...options });
  });
}
