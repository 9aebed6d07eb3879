/**
 * A worker of the sagas as a process: `worker.ts worker-1`. `holdfast worker` would do the same from a configuration file.
 */
import { createWorker, openDatabase } from '../../src/index.ts';
import { openTransport } from '../broker.ts';
import { hurriedOrder } from '../saga.ts';
import { log, metrics, run } from './link.ts';

const name = process.argv[2] ?? 'worker';

await run(({ world, databases, broker, pace }) => {
  const database = openDatabase({ url: databases.orders, applicationName: `demo ${name}` });
  const transport = openTransport(broker, (error) => log.warn({ err: error }, 'transport'));
  const worker = createWorker({
    database,
    sagas: [hurriedOrder(world)],
    name,
    replies: { transport },
    lease: pace.workerLease,
    idlePoll: pace.idlePoll,
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
