/**
 * The relay as a process. It reads the outboxes of all four services; `holdfast relay` would do the same from a configuration file. Where
 * the demo stays up, it watches for alerts as well.
 */
import { createAlerts, createRelay, openDatabase } from '../../src/index.ts';
import { openTransport } from '../broker.ts';
import { duplicating } from '../chaos.ts';
import { ROUTES } from '../messages.ts';
import { SERVICE_NAMES } from '../world.ts';
import { log, report, run } from './link.ts';

await run(({ world, databases, broker, shards, pace }) => {
  const honest = openTransport(broker, (error) => log.warn({ err: error }, 'transport'));
  const transport = duplicating(honest, (by) => report({ kind: 'count', what: 'copied', by }));
  const opened = SERVICE_NAMES.map((name) => openDatabase({ url: databases[name], applicationName: 'demo relay' }));
  const relays = opened.map((database) =>
    createRelay({
      database,
      log,
      subscriptions: [
        { name: 'demo', transport, routes: ROUTES, lease: pace.relayLease, idlePoll: pace.idlePoll, shards },
      ],
    }),
  );
  // Sooner than one would have it in earnest, so that what was made to fail is told while one looks.
  const alerts = (world.thenEveryMs === undefined ? [] : opened).map((database) =>
    createAlerts({
      database,
      log,
      interval: '2s',
      quiet: '10s',
      clear: '5s',
      onAlert: ({ status, summary }) =>
        report({ kind: 'alert', text: status === 'resolved' ? `over: ${summary}` : summary }),
    }),
  );
  const services = [...relays, ...alerts];
  return {
    start: async () => void (await Promise.all(services.map((each) => each.start()))),
    stop: async (options) => void (await Promise.all(services.map((each) => each.stop(options)))),
    async close() {
      await honest.close();
      await Promise.all(opened.map((database) => database.close()));
    },
  };
});
