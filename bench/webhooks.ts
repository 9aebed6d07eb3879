/**
 * webhooks: messages sent a second to one endpoint that answers at once, beside the same by hand.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { OutboundMessage } from '../src/transport/port.ts';
import { createWebhookTransport } from '../src/transport/webhooks/webhook-transport.ts';
import { webhooksByHand } from './rivals/webhooks-by-hand.ts';
import { alternate, figure, median, round, type Benchmark } from './support/figure.ts';
import { orderMessage } from './support/workload.ts';

const NAME = 'webhooks';
const ENDPOINT = 'shop';
const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
/** Requests at once. */
const AT_ONCE = 32;
/** As many as the relay gives to a publisher at once. */
const SENT_AT_ONCE = 1000;

export const webhooks: Benchmark = {
  names: [NAME],

  async run({ quick, note }) {
    const messages = quick ? 1_000 : 20_000;
    const rounds = quick ? 1 : 5;
    const receiver = fork(fileURLToPath(new URL('webhooks-receiver.js', import.meta.url)));
    const [port] = (await once(receiver, 'message')) as [number];
    const url = `http://127.0.0.1:${port}/hook`;
    const transport = createWebhookTransport({
      endpoints: { [ENDPOINT]: { url, secrets: SECRET, concurrency: AT_ONCE } },
      allowHttp: true,
      allowPrivate: true,
    });
    const publisher = transport.publisher();
    const byHand = webhooksByHand(url, SECRET, AT_ONCE);
    const { signal } = new AbortController();
    const contestants = [
      {
        name: 'holdfast',
        rates: [] as number[],
        processUs: [] as number[],
        async send(batch: readonly OutboundMessage[]) {
          let left = batch;
          while (left.length > 0) {
            const outcomes = await publisher.publish(left, { signal });
            const failed = outcomes.find((outcome) => outcome.kind === 'refused' && outcome.later?.attempted !== false);
            if (failed?.kind === 'refused') throw failed.error;
            // On a busy machine there is no time for all of them in one call.
            left = left.filter((_, n) => outcomes[n]?.kind !== 'published');
          }
        },
      },
      {
        name: 'by-hand',
        rates: [] as number[],
        processUs: [] as number[],
        send: (batch: readonly OutboundMessage[]) => byHand.send(batch),
      },
    ];
    try {
      for (let index = -1; index < rounds; index += 1) {
        for (const contestant of alternate(contestants, Math.abs(index))) {
          const all = Array.from({ length: messages }, (_, n) => orderMessage(ENDPOINT, n));
          const [startedAt, usedBefore] = [performance.now(), process.cpuUsage()];
          for (let from = 0; from < messages; from += SENT_AT_ONCE)
            await contestant.send(all.slice(from, from + SENT_AT_ONCE));
          const perSecond = (messages / (performance.now() - startedAt)) * 1000;
          const { user, system } = process.cpuUsage(usedBefore);
          // The first round warms up.
          if (index >= 0) contestant.rates.push(perSecond);
          if (index >= 0) contestant.processUs.push((user + system) / messages);
          note(
            `webhooks, ${index < 0 ? 'warm-up' : `round ${index + 1}`}: ${contestant.name} ${round(perSecond)} msg/s`,
          );
        }
      }
    } finally {
      byHand.close();
      await transport.close();
      receiver.disconnect();
    }
    const [value = NaN, againstValue = NaN] = contestants.map(({ rates }) => median(rates));
    const [ours = NaN, theirs = NaN] = contestants.map(({ processUs }) => round(median(processUs)));
    return [
      figure(
        { bench: NAME, value, unit: 'msg/s', against: 'by-hand', againstValue, target: { atLeast: 0.85 } },
        { processUs: { holdfast: ours, byHand: theirs }, concurrency: AT_ONCE, messages, rounds },
      ),
    ];
  },
};
