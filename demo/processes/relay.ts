/**
 * The relay as a process. It reads the outboxes of all four services; `holdfast relay` would do the same from a configuration file.
 */
import { createRelay, openDatabase } from '../../src/index.ts';
import { openTransport } from '../broker.ts';
import { duplicating } from '../chaos.ts';
import { ROUTES } from '../messages.ts';
import { SERVICE_NAMES } from '../world.ts';
import { log, report, run } from './link.ts';

await run(({ databases, broker }) => {
  const honest = openTransport(broker, (error) => log.warn({ err: error }, 'transport'));
  const transport = duplicating(honest, (by) => report({ kind: 'count', what: 'copied', by }));
  const opened = SERVICE_NAMES.map((name) => openDatabase({ url: databases[name], applicationName: 'demo relay' }));
  const relays = opened.map((database) =>
    createRelay({
      database,
      log,
      // A short lease, so that the relay's successor takes over within a second of its death.
      subscriptions: [{ name: 'demo', transport, routes: ROUTES, lease: '1s', idlePoll: '200ms' }],
    }),
  );
  return {
    start: async () => void (await Promise.all(relays.map((relay) => relay.start()))),
    stop: async (options) => void (await Promise.all(relays.map((relay) => relay.stop(options)))),
    async close() {
      await honest.close();
      await Promise.all(opened.map((database) => database.close()));
    },
  };
});
