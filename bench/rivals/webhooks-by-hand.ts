/**
 * Webhooks by hand: requests of node:http over connections that are kept, so many at once, each body made and signed in the form of
 * Standard Webhooks. It keeps no order, has no limit of time, checks no address, and gives up at the first answer that is not 2xx.
 */
import { createHmac } from 'node:crypto';
import { Agent, request } from 'node:http';
import type { OutboundMessage } from '../../src/transport/port.ts';

export interface WebhooksByHand {
  send(batch: readonly OutboundMessage[]): Promise<void>;
  close(): void;
}

export function webhooksByHand(url: string, secret: string, atOnce: number): WebhooksByHand {
  const { hostname, port, pathname } = new URL(url);
  const agent = new Agent({ keepAlive: true, maxSockets: atOnce });
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  const post = ({ id, topic, wire }: OutboundMessage): Promise<void> =>
    new Promise((resolve, reject) => {
      const { time, data } = JSON.parse(wire) as { readonly time: string; readonly data: unknown };
      const body = Buffer.from(JSON.stringify({ type: topic, timestamp: time, data }));
      const timestamp = String(Math.floor(Date.now() / 1000));
      const mac = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64');
      const sending = request({
        hostname,
        port,
        path: pathname,
        method: 'POST',
        agent,
        headers: {
          'content-type': 'application/json',
          'content-length': body.length,
          'webhook-id': id,
          'webhook-timestamp': timestamp,
          'webhook-signature': `v1,${mac}`,
        },
      });
      sending.on('error', reject);
      sending.on('response', (response) => {
        response.resume();
        const { statusCode = 0 } = response;
        if (statusCode >= 200 && statusCode < 300) resolve();
        else reject(new Error(`answered ${statusCode}`));
      });
      sending.end(body);
    });
  return {
    async send(batch) {
      let next = 0;
      const lane = async (): Promise<void> => {
        for (let message = batch[next++]; message !== undefined; message = batch[next++]) await post(message);
      };
      await Promise.all(Array.from({ length: atOnce }, lane));
    },
    close: () => agent.destroy(),
  };
}
