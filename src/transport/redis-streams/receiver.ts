/**
 * The Receiver. What it does while it runs is in receiving.ts, which the first start loads.
 */
import type { Receiver } from '../port.ts';
import { runningReceiver } from '../running-receiver.ts';
import { loaded, type OpenStreams } from './load.ts';
import { assertStreamName } from './keys.ts';
import type { StreamsReceivingOptions } from './receiving.ts';

export interface StreamsReceiverOptions extends Omit<StreamsReceivingOptions, 'connection'> {
  readonly open: OpenStreams;
}

/** @throws HoldfastError HF_CONFIG for a destination that no stream can have */
export function streamsReceiver({ open, ...options }: StreamsReceiverOptions): Receiver {
  assertStreamName(options.destination);
  return runningReceiver(options.destination, async () => {
    const connection = await open();
    const { StreamsReceiving } = await loaded(() => import('./receiving.ts'));
    return new StreamsReceiving({ connection, ...options });
  });
}
