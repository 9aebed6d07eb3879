/**
 * The Receiver of both BullMQ transports. What it does while it runs is in receiving.ts, which the first start loads.
 */
import { HoldfastError } from '../../errors.ts';
import { createLifecycle } from '../../runtime/lifecycle.ts';
import { type BullmqBroker, loading } from './broker.ts';
import type { BullmqSettings } from './options.ts';
import type { RunningReceiver } from './receiving.ts';
import type { Delivery, ReceiveOptions, Receiver, Verdict } from '../port.ts';

export interface BullmqReceiverOptions {
  readonly broker: BullmqBroker;
  readonly settings: BullmqSettings;
  readonly destination: string;
  readonly handle: (delivery: Delivery) => Promise<Verdict>;
  readonly options: ReceiveOptions;
}

export function bullmqReceiver({ broker, settings, destination, handle, options }: BullmqReceiverOptions): Receiver {
  // A worker that cannot be made would be tried again for ever, in the background.
  settings.naming.assertDestination(destination);
  const lifecycle = createLifecycle({
    make: () => ({ running: null as RunningReceiver | null }),
    async start(run) {
      const { kind } = broker;
      const connections = await broker.load();
      const { startReceiving } = await loading(kind, () => import('./receiving.ts'));
      const connection = connections.openReceiverConnection(settings);
      run.running = startReceiving({ kind, connection, settings, destination, handle, options });
    },
    async stop(run, { signal }) {
      await run.running?.stop(signal);
      run.running = null;
    },
  });
  return {
    start: lifecycle.start,
    stop: lifecycle.stop,
    async look({ signal }) {
      const { running } = lifecycle.run;
      if (running === null) throw new HoldfastError('HF_STOPPED', `The receiver of ${destination} is not running.`);
      return running.look(signal);
    },
  };
}
