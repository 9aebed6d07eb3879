/**
 * The Receiver over NATS. What it does while it runs is in receiving.ts, which the first start loads.
 */
import { HoldfastError } from '../../errors.ts';
import { createLifecycle } from '../../runtime/lifecycle.ts';
import type { Receiver } from '../port.ts';
import { tokenOf } from './names.ts';
import type { NatsReceiverOptions, Receiving } from './receiving.ts';

export function natsReceiver(options: NatsReceiverOptions): Receiver {
  // A stream that cannot be made would be tried again for ever, in the background.
  tokenOf(options.destination);
  const lifecycle = createLifecycle({
    make: () => ({ running: null as Receiving | null }),
    async start(run) {
      const receiving = await import('./receiving.ts');
      run.running = new receiving.Receiving(options);
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
      if (running === null)
        throw new HoldfastError('HF_STOPPED', `The receiver of ${options.destination} is not running.`);
      return running.look(signal);
    },
  };
}
