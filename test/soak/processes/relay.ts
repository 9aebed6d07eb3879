/**
 * A relay of a soak: of the four services and of the flood, each in two shards.
 */
import { duplicating } from '../../../demo/chaos.ts';
import { ROUTES } from '../../../demo/messages.ts';
import { log, report, runProgram } from '../../../demo/processes/link.ts';
import { SERVICE_NAMES } from '../../../demo/world.ts';
import { createRelay, openDatabase } from '../../../src/index.ts';
import { FLOOD_ROUTES } from '../flood/messages.ts';
import type { SoakSettings } from '../setting.ts';
import { createDeath, moveWallClock, openSoakTransport } from './lead.ts';

const POINTS = [
  'relay.publish:before',
  'relay.publish:after',
  'relay.read:after',
  'relay.advance:before',
  'relay.advance:after',
];

await runProgram((sent) => {
  const settings = sent as SoakSettings;
  moveWallClock(settings.clockAheadMs);
  const { databases, pace, keeping } = settings;
  const death = createDeath(POINTS);
  const honest = openSoakTransport(settings);
  const transport = duplicating(honest, (by) => report({ kind: 'count', what: 'copied', by }));
  const parts = [...SERVICE_NAMES, 'flood' as const].map((name) => {
    const database = openDatabase({ url: databases[name], applicationName: 'soak relay' });
    const subscription = {
      name: 'soak',
      transport,
      routes: name === 'flood' ? FLOOD_ROUTES : ROUTES,
      lease: pace.relayLease,
      idlePoll: pace.idlePoll,
      retention: keeping.messagesMs,
      shards: 2,
    };
    return {
      database,
      relay: createRelay({ database, log, subscriptions: [subscription], crashPoint: (point) => death.point(point) }),
    };
  });
  return {
    start: async () => void (await Promise.all(parts.map(({ relay }) => relay.start()))),
    stop: async (options) => void (await Promise.all(parts.map(({ relay }) => relay.stop(options)))),
    async close() {
      await honest.close();
      await Promise.all(parts.map(({ database }) => database.close()));
    },
    dieAtWork: () => death.dieAtWork(),
  };
});
