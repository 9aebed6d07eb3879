/**
 * One of the four services of the demo, as a process of a soak: `service.ts stock`. Its orders come from the writers.
 */
import { log, metrics, runProgram } from '../../../demo/processes/link.ts';
import { SERVICES } from '../../../demo/services/all.ts';
import { createMoods } from '../../../demo/services/moods.ts';
import { CONCURRENCY } from '../../../demo/services/service.ts';
import type { ServiceName } from '../../../demo/world.ts';
import { createOutbox, openDatabase } from '../../../src/index.ts';
import type { SoakSettings } from '../setting.ts';
import { moveWallClock, openSoakTransport } from './lead.ts';

const name = process.argv[2] as ServiceName;
const PRUNE_EVERY = '30s';

await runProgram((sent) => {
  const settings = sent as SoakSettings;
  moveWallClock(settings.clockAheadMs);
  const { world, databases, keeping } = settings;
  const database = openDatabase({ url: databases[name], max: CONCURRENCY + 3, applicationName: `soak ${name}` });
  const transport = openSoakTransport(settings);
  const moods = createMoods(world, database);
  const listener = SERVICES[name].listen({
    world,
    database,
    transport,
    outbox: createOutbox({ source: name }),
    log,
    metrics,
    moods,
    keeping: {
      retention: keeping.marksMs,
      redeliveryHorizon: keeping.messagesMs,
      pruneInterval: PRUNE_EVERY,
    },
    callRetention: keeping.callsMs,
  });
  return {
    start: () => listener.start(),
    stop: (options) => listener.stop(options),
    async close() {
      await transport.close();
      await database.close();
    },
    dieAtWork: () => moods.dieAtWork(),
  };
});
