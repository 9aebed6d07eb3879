/**
 * The user's own consumers and participants as a part of a daemon. Database, transport, log and metrics are those that they were made
 * with; here they are started, stopped and looked at.
 */
import type { Consumer } from '../../inbox/consumer.ts';
import type { DaemonKit, DaemonPart } from './daemon.ts';

export function consumersPart(consumers: readonly Consumer[]): (kit: DaemonKit) => DaemonPart {
  return ({ log }) => ({
    service: {
      async start() {
        await Promise.all(consumers.map((consumer) => consumer.start()));
        log.info({ consumers: consumers.map(({ name }) => name) }, 'consumers started');
      },
      async stop(options) {
        await Promise.all(consumers.map((consumer) => consumer.stop(options)));
      },
    },
    live: () => ({ ok: true, body: {} }),
    ready: () => ({
      reasons: [],
      // Said, but no reason not to be ready, as with the relay's broker.
      body: { consumers: consumers.map((each) => ({ name: each.name, broker: each.brokerHealth().trouble ?? 'ok' })) },
    }),
    gauges: { refresh: () => Promise.resolve() },
    name: 'consumers',
    whenForced: 'handlers that were under way are rolled back, and their messages come again',
  });
}
