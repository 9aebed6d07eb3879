/**
 * A worker of the sagas as a process: `worker.ts worker-1`. `holdfast worker` would do the same from a configuration file.
 */
import { createWorker, openDatabase } from '../../src/index.ts';
import { openTransport } from '../broker.ts';
import { placeOrder } from '../saga.ts';
import { log, metrics, run } from './link.ts';

const name = process.argv[2] ?? 'worker';

await run(({ databases, broker }) => {
  const database = openDatabase({ url: databases.orders, applicationName: `demo ${name}` });
  const transport = openTransport(broker, (error) => log.warn({ err: error }, 'transport'));
  const worker = createWorker({
    database,
    sagas: [placeOrder],
    name,
    replies: { transport },
    // Short, so that the runs of a killed worker go on within two seconds.
    lease: '2s',
    idlePoll: '200ms',
    log,
    metrics,
  });
  return {
    start: () => worker.start(),
    stop: (options) => worker.stop(options),
    async close() {
      await transport.close();
      await database.close();
    },
  };
});
