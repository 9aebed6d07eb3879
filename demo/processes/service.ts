/**
 * One service as a process: `service.ts stock`.
 */
import { createOutbox, openDatabase } from '../../src/index.ts';
import { openTransport } from '../broker.ts';
import { SERVICES } from '../services/all.ts';
import { createMoods } from '../services/moods.ts';
import { CONCURRENCY } from '../services/service.ts';
import { INTAKE_OVER, type ServiceName } from '../world.ts';
import { log, metrics, report, run } from './link.ts';

const name = process.argv[2] as ServiceName;

await run(({ world, databases, broker }) => {
  const service = SERVICES[name];
  const database = openDatabase({ url: databases[name], max: CONCURRENCY + 3, applicationName: `demo ${name}` });
  const transport = openTransport(broker, (error) => log.warn({ err: error }, 'transport'));
  const moods = createMoods(world, database);
  const kit = { world, database, transport, outbox: createOutbox({ source: name }), log, metrics, moods };
  const listener = service.listen(kit);
  return {
    async start() {
      await listener.start();
      // Not awaited: it is this service's work, and goes on for a while. Should it fail, so does the process.
      void service.work?.(kit).then(() => report({ kind: 'count', what: INTAKE_OVER, by: 1 }));
    },
    stop: (options) => listener.stop(options),
    async close() {
      await transport.close();
      await database.close();
    },
    dieAtWork: () => moods.dieAtWork(),
    setTrouble: (task, says) => moods.setTrouble(task, says),
  };
});
