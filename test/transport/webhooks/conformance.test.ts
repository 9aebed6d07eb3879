/** The webhook transport keeps the duties of a sink. */
import { describeSink } from '../../../src/testing/transport/describe-sink.ts';
import { silentServer } from '../../../src/testing/transport/kit.ts';
import type { OutboundMessage, Transport } from '../../../src/transport/port.ts';
import { createWebhookTransport } from '../../../src/transport/webhooks/webhook-transport.ts';
import { closedAddress } from './kit.ts';
import { SECRET, startReceiver } from './receiver.ts';

describeSink('webhooks', async () => {
  const receiver = await startReceiver();
  const silent = await silentServer();
  const nowhere = await closedAddress();
  const sending = (url: string): Transport =>
    createWebhookTransport({
      endpoints: (name) => ({ url: `${url}${encodeURIComponent(name)}`, secrets: SECRET }),
      body: 'cloudevents',
      allowHttp: true,
      allowPrivate: true,
    });
  const make = () => sending(`http://127.0.0.1:${receiver.port}/`);
  return {
    make,
    unreachable: () => sending(nowhere),
    hanging: () => sending(`http://127.0.0.1:${silent.port}/`),
    refusing: () => ({
      transport: make(),
      spoil: (message): OutboundMessage => ({ ...message, wire: `[${message.wire}]` }),
    }),
    received: async (destination) =>
      receiver.taken.filter(({ path }) => path === `/${encodeURIComponent(destination)}`).map(({ body }) => body),
    async dispose() {
      await receiver.close();
      await silent.close();
    },
  };
});
