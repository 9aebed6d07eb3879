/**
 * The Receiver of both BullMQ transports. What it does while it runs is in receiving.ts, which the first start loads.
 */
import { HoldfastError } from '../../errors.ts';
import { createLifecycle } from '../../runtime/lifecycle.ts';
import { assertDestination, type BullmqBroker, type BullmqSettings, loading } from './parts.ts';
import type { RunningReceiver } from './receiving.ts';
import type { Delivery, ReceiveOptions, Receiver, Verdict } from '../port.ts';

export function bullmqReceiver(
  broker: BullmqBroker,
  settings: BullmqSettings,
  destination: string,
  handle: (delivery: Delivery) => Promise<Verdict>,
  options: ReceiveOptions,
): Receiver {
  // A worker that cannot be made would be tried again for ever, in the background.
  assertDestination(destination);
  const lifecycle = createLifecycle({
    make: () => ({ running: null as RunningReceiver | null }),
    async start(run) {
      const { kind } = broker;
      const links = await broker.load();
      const { startReceiving } = await loading(kind, () => import('./receiving.ts'));
      run.running = startReceiving({
        kind,
        link: links.openReceiverConnection(settings),
        settings,
        destination,
        handle,
        options,
      });
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
