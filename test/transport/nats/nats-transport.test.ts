/**
 * The duties of a transport, over one server of NATS.
 */
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { startNats } from '../../../src/servers/nats.ts';
import { createNatsTransport } from '../../../src/transport/nats/nats-transport.ts';
import { describeTransport } from '../../../src/testing/transport/describe-transport.ts';
import { NEVER, outbound, silentServer } from '../../../src/testing/transport/kit.ts';

/** Claims that run out soon, so that a test need not wait long for what a dead consumer held. Patient with a slow server. */
const SHORT = { claimDuration: 400, publishTimeout: 60_000 };

describeTransport('nats', async () => {
  const server = await startNats();
  const silent = await silentServer();
  return {
    make: (options = {}) => createNatsTransport({ connection: server.url, ...SHORT, ...options }),
    unreachable: () => createNatsTransport({ connection: 'nats://127.0.0.1:1' }),
    hanging: () => createNatsTransport({ connection: `nats://127.0.0.1:${silent.port}` }),
    refusing: () => ({
      transport: createNatsTransport({ connection: server.url, ...SHORT, maxMessageBytes: 2000 }),
      spoil: (message) => ({ ...message, wire: JSON.stringify({ filler: 'x'.repeat(2000) }) }),
    }),
    async plant(destination, text, publisher) {
      // The stream is made with its first message.
      await publisher.publish([outbound(destination, 0)], { signal: NEVER });
      const nc = await connect({ servers: server.url });
      const manager = await jetstreamManager(nc);
      await manager.streams.purge(`holdfast-${destination}`);
      await manager.jetstream().publish(`holdfast.${destination}.1.0`, text);
      await nc.close();
    },
    async dispose() {
      await silent.close();
      await server.dispose();
    },
  };
});
