/**
 * The Receiver. What it does while it runs is in receiving.ts, which the first start loads.
 */
import { HoldfastError } from '../../errors.ts';
import { createLifecycle } from '../../runtime/lifecycle.ts';
import type { Delivery, Receiver, ReceiveOptions, Verdict } from '../port.ts';
import { loaded, type OpenStreams } from './load.ts';
import { assertStreamName } from './keys.ts';
import type { StreamsSettings } from './options.ts';
import type { StreamsReceiving } from './receiving.ts';

export interface StreamsReceiverOptions {
  readonly open: OpenStreams;
  readonly settings: StreamsSettings;
  readonly destination: string;
  readonly handle: (delivery: Delivery) => Promise<Verdict>;
  readonly options: ReceiveOptions;
}

/** @throws HoldfastError HF_CONFIG for a destination that no stream can have */
export function streamsReceiver({ open, ...options }: StreamsReceiverOptions): Receiver {
  assertStreamName(options.destination);
  const lifecycle = createLifecycle({
    make: () => ({ receiving: null as StreamsReceiving | null }),
    async start(run) {
      const connection = await open();
      const { StreamsReceiving: Running } = await loaded(() => import('./receiving.ts'));
      run.receiving = new Running({ connection, ...options });
    },
    async stop(run, { signal }) {
      await run.receiving?.stop(signal);
      run.receiving = null;
    },
  });
  return {
    start: lifecycle.start,
    stop: lifecycle.stop,
    async look({ signal }) {
      const { receiving } = lifecycle.run;
      if (receiving === null)
        throw new HoldfastError('HF_STOPPED', `The receiver of ${options.destination} is not running.`);
      return receiving.look(signal);
    },
  };
}
