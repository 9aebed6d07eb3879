/** An endpoint that is slow: how much of a batch it gets, and how long it is left alone. Here time is what the test says. */
import { describe, expect, it } from 'vitest';
import { createSemaphore } from '../../../src/runtime/semaphore.ts';
import { createAddressGuard } from '../../../src/transport/webhooks/address-guard.ts';
import { BatchSender } from '../../../src/transport/webhooks/batch-sender.ts';
import { listedEndpoints } from '../../../src/transport/webhooks/endpoint-book.ts';
import { holdUps } from '../../../src/transport/webhooks/endpoint-health.ts';
import { EndpointStates } from '../../../src/transport/webhooks/endpoint-states.ts';
import type { WebhookReply } from '../../../src/transport/webhooks/exchange.ts';
import { createManualClock } from '../../../src/testing/manual-clock.ts';
import type { OutboundMessage } from '../../../src/transport/port.ts';
import { NEVER } from '../../../src/testing/transport/kit.ts';
import { event, words } from './kit.ts';
import { SECRET } from './receiver.ts';

const TAKEN: WebhookReply = { kind: 'answer', status: 204, retryAfter: null };

/** A sender whose endpoint `slow` takes six seconds for each request, one at a time; `other` takes none. */
function slowSender() {
  const clock = createManualClock();
  const endpoint = { url: 'https://hooks.example/', secrets: SECRET, concurrency: 1 };
  const rules = { guard: createAddressGuard(false, ''), allowHttp: false, publishWithinMs: 8_000 };
  const sender = new BatchSender({
    book: listedEndpoints({ slow: endpoint, other: endpoint }, rules),
    states: new EndpointStates({
      policy: { consecutiveFailures: 3, halfOpenAfterMs: 1_000 },
      patienceMs: 1_000,
      clock,
      random: () => 1,
      onRest: () => {},
    }),
    client: {
      async post({ name }) {
        if (name === 'other') return TAKEN;
        // Whatever else is to be sent is sent by then.
        await new Promise((resolve) => setImmediate(resolve));
        await clock.advance(6_000);
        return TAKEN;
      },
      close: () => {},
    },
    slots: createSemaphore(8),
    clock,
    form: 'standard',
    ending: 'client-errors',
    publishWithinMs: 8_000,
    maxMessageBytes: 1_000,
    endpointOf: ({ destination }) => destination,
    onGone: () => {},
  });
  const send = async (...batch: OutboundMessage[]) => words(await sender.send(batch, NEVER));
  return { clock, send };
}

describe('a slow endpoint', () => {
  it('has in each call what there is time for, and is not left alone while it is alone', async () => {
    const { send } = slowSender();
    const batch = [0, 1, 2].map((n) => event('slow', n));
    expect(await send(...batch)).toEqual(['taken', 'unsent', 'unsent']);
    expect(await send(...batch.slice(1))).toEqual(['taken', 'unsent']);
    expect(await send(...batch.slice(2))).toEqual(['taken']);
  });

  it('is left alone for nine times as long as it has kept others waiting', async () => {
    const { clock, send } = slowSender();
    expect(await send(event('slow', 0), event('other', 1))).toEqual(['taken', 'taken']);
    expect(await send(event('slow', 2), event('other', 3))).toEqual(['resting', 'taken']);
    await clock.advance(53_999);
    expect(await send(event('slow', 4))).toEqual(['resting']);
    await clock.advance(1);
    // The others are waiting in the log, though none is in this batch.
    expect(await send(event('slow', 5))).toEqual(['taken']);
    expect(await send(event('slow', 6))).toEqual(['resting']);
    // Nobody else for ten minutes.
    await clock.advance(600_001);
    expect(await send(event('slow', 7))).toEqual(['taken']);
    expect(await send(event('slow', 8))).toEqual(['taken']);
  });
});

it('what all are late for is held against none', () => {
  expect(
    holdUps(
      new Map([
        ['a', 2_000],
        ['b', 2_010],
        ['c', 7_000],
      ]),
    ),
  ).toEqual(
    new Map([
      ['a', -10],
      ['b', 10],
      ['c', 5_000],
    ]),
  );
  expect(holdUps(new Map([['a', 2_000]]))).toEqual(new Map([['a', 2_000]]));
});
