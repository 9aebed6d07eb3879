/**
 * One endpoint as it is settled, how it is found by name, and what a batch leaves behind: without a connection, on a clock that the test moves.
 */
import { describe, expect, it } from 'vitest';
import { createSemaphore } from '../../../src/runtime/semaphore.ts';
import { createManualClock } from '../../../src/testing/manual-clock.ts';
import { NEVER } from '../../../src/testing/transport/kit.ts';
import { createAddressGuard } from '../../../src/transport/webhooks/address-guard.ts';
import { BatchSender } from '../../../src/transport/webhooks/batch-sender.ts';
import { AskedEndpoints, listedEndpoints, type FindEndpoint } from '../../../src/transport/webhooks/endpoint-book.ts';
import { EndpointStates } from '../../../src/transport/webhooks/endpoint-states.ts';
import { resolveEndpoint, type WebhookEndpoint } from '../../../src/transport/webhooks/endpoint.ts';
import type { WebhookReply } from '../../../src/transport/webhooks/exchange.ts';
import { event, words } from './kit.ts';
import { SECRET } from './receiver.ts';

const RULES = { guard: createAddressGuard(false, ''), allowHttp: true, publishWithinMs: 8_000 };
const resolved = (url: string, more: Partial<WebhookEndpoint> = {}) =>
  resolveEndpoint('shop', { url, secrets: SECRET, ...more }, RULES);

describe('an endpoint', () => {
  it('is what its address says', () => {
    expect(resolved('https://hooks.example/in?x=1')).toMatchObject({
      secure: true,
      host: 'hooks.example',
      port: 443,
      path: '/in?x=1',
      refused: false,
    });
    expect(resolved('http://hooks.example')).toMatchObject({ secure: false, port: 80, path: '/' });
    expect(resolved('https://hooks.example:8443/')).toMatchObject({ port: 8443 });
    expect(resolved('https://[2606:4700::1]/')).toMatchObject({ host: '2606:4700::1', refused: false });
  });

  it.each(['http://10.0.0.1/', 'https://[::1]/', 'https://[fd00::1]/', 'http://2130706433/'])(
    'whose address is not public is refused: %s',
    (url) => {
      expect(resolved(url).refused).toBe(true);
    },
  );

  it.each([
    'https://ann:secret@hooks.example/',
    'https://:secret@hooks.example/',
    'https://ann@hooks.example/',
    'ftp://a/',
  ])('has no user, no password, and speaks HTTP: %s', (url) => {
    expect(() => resolved(url)).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
  });
});

/** A book that is answered by `answer`, and how often it asked. */
function bookOf(answer: FindEndpoint) {
  const clock = createManualClock();
  const asked: string[] = [];
  const book = new AskedEndpoints(
    (name, options) => {
      asked.push(name);
      return answer(name, options);
    },
    RULES,
    { cacheMs: 10_000, clock },
  );
  return { book, clock, asked };
}

describe('an endpoint that is asked for', () => {
  it('is nobody for null alone: what is forgotten to be answered cannot be used, and what fails is not known', async () => {
    const answers: Readonly<Record<string, () => unknown>> = {
      gone: () => null,
      forgotten: () => undefined,
      broken: () => {
        throw new Error('no database');
      },
    };
    const { book } = bookOf((name) => answers[name]?.() as WebhookEndpoint | null);
    expect((await book.find('gone')).kind).toBe('nobody');
    expect((await book.find('forgotten')).kind).toBe('unusable');
    expect((await book.find('broken')).kind).toBe('unknown');
  });

  it('is asked for once while it is known, and again after that; sooner where it could not be told', async () => {
    const { book, clock, asked } = bookOf((name) => {
      if (name === 'broken') throw new Error('no database');
      return { url: 'https://hooks.example/', secrets: SECRET };
    });
    for (const afterMs of [0, 999, 9_000, 1]) {
      await clock.advance(afterMs);
      await Promise.all([book.find('shop'), book.find('shop'), book.find('broken')]);
    }
    expect(asked).toEqual(['shop', 'broken', 'broken', 'shop']);
  });

  it('is remembered among ten thousand, the one that was asked for longest ago first to go', async () => {
    const { book, asked } = bookOf(() => null);
    for (let n = 0; n <= 10_000; n += 1) void book.find(`e${n}`);
    const before = asked.length;
    void book.find('e1');
    expect(asked.length).toBe(before);
    void book.find('e0');
    expect(asked.length).toBe(before + 1);
  });
});

const TAKEN: WebhookReply = { kind: 'answer', status: 204, retryAfter: null };

/** A sender to one endpoint, which answers as it is told. */
function senderOf({ reply = TAKEN, slots = createSemaphore(1) } = {}) {
  const clock = createManualClock();
  const states = new EndpointStates({
    policy: { consecutiveFailures: 2, halfOpenAfterMs: 1_000 },
    patienceMs: 1_000,
    clock,
    random: () => 1,
    onRest: () => {},
  });
  const sender = new BatchSender({
    book: listedEndpoints({ shop: { url: 'https://hooks.example/', secrets: SECRET } }, RULES),
    states,
    client: { post: async () => reply, close: () => {} },
    slots,
    clock,
    form: 'standard',
    ending: 'client-errors',
    publishWithinMs: 8_000,
    maxMessageBytes: 1_000,
    endpointOf: ({ destination }) => destination,
    onGone: () => {},
  });
  return { sender, states };
}

describe('a batch', () => {
  const batch = [0, 1, 2].map((n) => event('shop', n));

  it('gives its slots back, whatever comes of it', async () => {
    const slots = createSemaphore(batch.length);
    const { sender } = senderOf({ slots });
    expect(words(await sender.send(batch, NEVER))).toEqual(['taken', 'taken', 'taken']);
    expect(batch.map(() => slots.take())).not.toContain(undefined);
  });

  it('gives a slot back that it got when it was told to stop', async () => {
    const stop = new AbortController();
    const slots = createSemaphore(1);
    const { sender } = senderOf({
      slots: {
        ...slots,
        take() {
          stop.abort(new Error('stopped'));
          return slots.take();
        },
      },
    });
    await expect(sender.send(batch, stop.signal)).rejects.toThrow('stopped');
    expect(slots.take()).toBeDefined();
  });

  it('that is refused message by message says nothing against its endpoint', async () => {
    const { sender, states } = senderOf({ reply: { kind: 'answer', status: 400, retryAfter: null } });
    expect(words(await sender.send(batch, NEVER))).toEqual(['refused', 'refused', 'refused']);
    expect(states.restLeft('shop')).toBe(0);
  });
});
