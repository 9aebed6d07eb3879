/**
 * Webhooks as a transport: a relay sends messages as signed HTTP requests to endpoints, in the form of Standard Webhooks. A sink: nothing
 * is received by it.
 */
import { setMaxListeners } from 'node:events';
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import { systemClock, type Clock } from '../../runtime/clock.ts';
import { createSemaphore } from '../../runtime/semaphore.ts';
import { SINK } from '../abilities.ts';
import type { Publisher, Transport } from '../port.ts';
import { settledOrAborted, transportOf } from '../shared.ts';
import { BatchSender, type SendingContext } from './batch-sender.ts';
import { AskedEndpoints, listedEndpoints } from './endpoint-book.ts';
import { EndpointStates } from './endpoint-states.ts';
import { createWebhookClient } from './exchange.ts';
import { guardedLookup, resolveAsMachine, resolveByServers, type ResolveName } from './guarded-lookup.ts';
import { resolveWebhookOptions, type WebhookTransportOptions } from './options.ts';

/**
 * A transport that sends messages as webhooks: signed HTTP requests, in the form of Standard Webhooks. Only relays can use it; a consumer
 * on it is refused. The destination of a route is the name of an endpoint. An endpoint that is down, slow or asks for time holds up
 * its own messages alone: they are parked, in the order of their keys, and go out when it is back.
 *
 * @throws HoldfastError HF_CONFIG, HF_DURATION, HF_OPTION_UNKNOWN
 * @example
 * const webhooks = createWebhookTransport({
 *   endpoints: { acme: { url: 'https://hooks.acme.example/in', secrets: process.env.ACME_SECRET ?? '' } },
 * });
 * createRelay({
 *   database,
 *   subscriptions: [{ name: 'webhooks-acme', transport: webhooks, routes: [{ topics: 'order.*', to: 'acme' }] }],
 * });
 */
export function createWebhookTransport(options: WebhookTransportOptions): Transport {
  return makeWebhookTransport(options, {});
}

/** What tests put in place of what the world does. */
export interface WebhookSeams {
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly resolve?: ResolveName;
}

const KIND = 'webhooks';

export function makeWebhookTransport(
  options: WebhookTransportOptions,
  { clock = systemClock, random = Math.random, resolve }: WebhookSeams,
): Transport {
  const settings = resolveWebhookOptions(options);
  const { endpoints } = options;
  const { guard, rules, cacheMs, policy, patienceMs, onError, concurrency, publishWithinMs } = settings;
  const lookup = guardedLookup(guard, resolve ?? (guard.trusting ? resolveAsMachine : resolveByServers()));
  const context = {
    ...settings,
    clock,
    book:
      typeof endpoints === 'function'
        ? new AskedEndpoints(endpoints, rules, { cacheMs, clock })
        : listedEndpoints(endpoints, rules),
    states: new EndpointStates({ policy, patienceMs, clock, random, onRest: (...told) => onError(restError(...told)) }),
    slots: createSemaphore(concurrency),
  };
  return transportOf({
    kind: KIND,
    abilities: {
      ...SINK,
      maxMessageBytes: settings.maxMessageBytes,
      outages: 'apart',
      publishMs: publishWithinMs,
    },
    publisher: () => webhookPublisher({ ...context, client: createWebhookClient(lookup) }, publishWithinMs),
  });
}

function webhookPublisher(context: SendingContext, publishWithinMs: number): Publisher {
  const sender = new BatchSender(context);
  const ended = new AbortController();
  const assertOpen = (): void => {
    if (ended.signal.aborted) throw new HoldfastError('HF_STOPPED', 'The publisher is closed.');
  };
  return {
    async publish(batch, { signal }) {
      assertOpen();
      const either = AbortSignal.any([signal, ended.signal]);
      // Each request that waits for its turn listens to it.
      setMaxListeners(0, either);
      try {
        return await settledOrAborted(sender.send(batch, either), either);
      } catch (error) {
        if (!either.aborted || isHoldfastError(error, 'HF_CONFIG')) throw error;
        throw new HoldfastError('HF_TRANSPORT_UNAVAILABLE', 'The batch of webhooks was given up before its end.', {
          advice: `What may have gone out is sent again. publishTimeout must be longer than publishWithin (${publishWithinMs} ms).`,
          cause: error,
        });
      }
    },
    // There is no one server to ask: endpoints are well or not each by itself.
    async check({ signal }) {
      assertOpen();
      if (signal.aborted)
        throw new HoldfastError('HF_TRANSPORT_UNAVAILABLE', 'The check was given up.', { cause: signal.reason });
    },
    async close() {
      ended.abort(new Error('the publisher is closed'));
      context.client.close();
    },
  };
}

function restError(name: string, restMs: number, cause: Error): HoldfastError {
  const seconds = Math.ceil(restMs / 1_000);
  return new HoldfastError(
    'HF_TRANSPORT_UNAVAILABLE',
    `The endpoint ${JSON.stringify(name)} fails and is left alone for ${seconds} s.`,
    { advice: 'Its messages are parked, and go out when it is back.', cause, details: { endpoint: name } },
  );
}
