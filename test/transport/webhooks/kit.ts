/**
 * What tests of webhooks are made of: publishers on endpoints, messages, and what became of them in a word. A test file calls `useEnds` once.
 */
import { afterEach } from 'vitest';
import type { Clock } from '../../../src/runtime/clock.ts';
import { createManualClock, type ManualClock } from '../../../src/testing/manual-clock.ts';
import type { OutboundMessage, PublishOutcome, Publisher, Transport } from '../../../src/transport/port.ts';
import type { WebhookEndpoint } from '../../../src/transport/webhooks/endpoint.ts';
import type { WebhookTransportOptions } from '../../../src/transport/webhooks/options.ts';
import { makeWebhookTransport, type WebhookSeams } from '../../../src/transport/webhooks/webhook-transport.ts';
import { NEVER, outbound, silentServer } from '../../../src/testing/transport/kit.ts';
import { SECRET, startReceiver, type Receiver } from './receiver.ts';

export interface WebhookKit {
  /** Ended after the test. */
  receiver(options?: Parameters<typeof startReceiver>[0]): Promise<Receiver>;
  kept(transport: Transport): Transport;
  publisherFor(
    endpoints: Record<string, Partial<WebhookEndpoint> & { url: string }>,
    options?: Partial<WebhookTransportOptions>,
    seams?: WebhookSeams,
  ): Publisher;
  /** After the test, last ones first. */
  readonly ends: (() => Promise<void>)[];
}

export function useWebhooks(): WebhookKit {
  const ends: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end();
  });
  const kept = (transport: Transport): Transport => {
    ends.push(() => transport.close());
    return transport;
  };
  return {
    ends,
    kept,
    async receiver(options) {
      const made = await startReceiver(options);
      ends.push(() => made.close());
      return made;
    },
    publisherFor(endpoints, options = {}, seams = {}) {
      // A busy machine takes seconds for what is a moment's work.
      const patient = { publishWithin: '60s', patience: '60s', allowHttp: true, allowPrivate: true } as const;
      const named = Object.entries(endpoints).map(
        ([name, each]) => [name, { secrets: SECRET, timeout: '30s', ...each }] as const,
      );
      const whole = { ...patient, endpoints: Object.fromEntries(named), ...options };
      return kept(makeWebhookTransport(whole, seams)).publisher();
    },
  };
}

/** Moved by hand, but with the time of day, by which signatures are checked. */
export function handClock(): Clock & Pick<ManualClock, 'advance'> {
  const clock = createManualClock();
  return {
    now: () => Date.now(),
    monotonic: () => clock.monotonic(),
    sleep: (delayMs, signal) => clock.sleep(delayMs, signal),
    advance: (by) => clock.advance(by),
  };
}

export const event = (to: string, n: number, key: string | null = null): OutboundMessage =>
  outbound(to, n, { key, wire: `{"type":"t","time":"2026-01-31T12:00:00Z","data":{"n":${n},"key":"${key ?? ''}"}}` });

export const publish = (publisher: Publisher, ...batch: OutboundMessage[]): Promise<readonly PublishOutcome[]> =>
  publisher.publish(batch, { signal: NEVER });

/** What became of each, in a word. */
export function words(outcomes: readonly PublishOutcome[]): string[] {
  return outcomes.map((outcome) => {
    if (outcome.kind === 'published') return 'taken';
    if (outcome.permanent) return 'refused';
    if (outcome.later === undefined) return 'not now';
    if (outcome.later.attempted) return 'failed';
    return outcome.later.delayMs > 0 ? 'resting' : 'unsent';
  });
}

export function errorOf(outcome: PublishOutcome | undefined): string {
  return outcome?.kind === 'refused' ? outcome.error.message : '';
}

/** Where nobody listens. */
export async function closedAddress(): Promise<string> {
  const server = await silentServer();
  await server.close();
  return `http://127.0.0.1:${server.port}/`;
}
