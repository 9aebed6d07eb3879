/**
 * The Receiver of an adapter that has one object do its work from start to stop: made by each start, let go of by the stop.
 */
import { HoldfastError } from '../errors.ts';
import { createLifecycle } from '../runtime/lifecycle.ts';
import type { QueueState, Receiver } from './port.ts';

/** What a receiver is while it runs. */
export interface RunningReceiver {
  /** See {@link Receiver}. */
  look(signal: AbortSignal): Promise<QueueState>;
  /** @param signal makes the stop hard; it may be aborted from the beginning */
  stop(signal: AbortSignal | undefined): Promise<void>;
}

/** @param begin loads what speaks to the broker, and does not wait for the broker; called anew by each start */
export function runningReceiver(destination: string, begin: () => Promise<RunningReceiver>): Receiver {
  const lifecycle = createLifecycle({
    make: () => ({ running: null as RunningReceiver | null }),
    async start(run) {
      run.running = await begin();
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
