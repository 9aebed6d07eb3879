/**
 * A worker of a soak: `worker.ts worker-1`.
 */
import { log, metrics, runProgram } from '../../../demo/processes/link.ts';
import { hurriedOrder } from '../../../demo/saga.ts';
import { createWorker, openDatabase } from '../../../src/index.ts';
import type { SoakSettings } from '../setting.ts';
import { createDeath, moveWallClock, openSoakTransport } from './lead.ts';

const name = process.argv[2] ?? 'worker';
const POINTS = ['saga.commit:before', 'saga.commit:after', 'saga.claim:after'];

await runProgram((sent) => {
  const settings = sent as SoakSettings;
  moveWallClock(settings.clockAheadMs);
  const { world, databases, pace, keeping } = settings;
  const death = createDeath(POINTS);
  const database = openDatabase({ url: databases.orders, applicationName: `soak ${name}` });
  const transport = openSoakTransport(settings);
  const worker = createWorker({
    database,
    sagas: [hurriedOrder(world)],
    name,
    replies: { transport },
    lease: pace.workerLease,
    idlePoll: pace.idlePoll,
    retention: keeping.runsMs,
    log,
    metrics,
    crashPoint: (point) => death.point(point),
  });
  return {
    start: () => worker.start(),
    stop: (options) => worker.stop(options),
    async close() {
      await transport.close();
      await database.close();
    },
    dieAtWork: () => death.dieAtWork(),
  };
});
