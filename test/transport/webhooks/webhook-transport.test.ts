/** Webhooks over real connections: order, one endpoint beside another, limits of time and size. */
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { NEVER, rejection, silentServer } from '../../../src/testing/transport/kit.ts';
import { closedAddress, errorOf, event, handClock, publish, useWebhooks, words } from './kit.ts';

const kit = useWebhooks();

describe('a batch', () => {
  it('goes to all its endpoints, signed, each key in order, and over connections that are kept', async () => {
    const [a, b] = [await kit.receiver(), await kit.receiver()];
    const publisher = kit.publisherFor({ a: { url: `${a.url}?x=1`, headers: { 'x-own': 'yes' } }, b: { url: b.url } });
    const batch = Array.from({ length: 60 }, (_, n) =>
      event(n % 3 === 0 ? 'b' : 'a', n, n % 2 === 0 ? `k${n % 5}` : null),
    );
    expect(words(await publish(publisher, ...batch))).toEqual(batch.map(() => 'taken'));
    expect([a.taken.length, b.taken.length]).toEqual([40, 20]);
    for (const { taken } of [a, b])
      for (const key of ['k0', 'k1', 'k2', 'k3', 'k4']) {
        const order = taken.filter((hook) => hook.key === key).map(({ n }) => n);
        expect(order).toEqual(order.toSorted((one, other) => one - other));
      }
    expect(a.seen[0]).toMatchObject({ path: '/in?x=1', headers: { 'x-own': 'yes', 'user-agent': 'holdfast' } });
    expect(new Set(a.taken.map(({ id }) => id)).size).toBe(40);
    expect(a.connections()).toBeLessThanOrEqual(8);
    await publisher.check({ signal: NEVER });
    expect(await publish(publisher)).toEqual([]);
  });

  it('has as many requests under way as an endpoint bears, and as the transport does in all', async () => {
    for (const [own, all, most] of [
      [3, 64, 3],
      [8, 2, 2],
    ] as const) {
      const a = await kit.receiver();
      let running = 0;
      let seen = 0;
      const held: ServerResponse[] = [];
      a.answer = () => (response) => {
        seen = Math.max(seen, (running += 1));
        held.push(response);
        // None is answered before as many as may be are there.
        if (held.length < most && a.seen.length < 12) return;
        for (const each of held.splice(0)) {
          running -= 1;
          each.writeHead(204).end();
        }
      };
      const publisher = kit.publisherFor({ a: { url: a.url, concurrency: own } }, { concurrency: all });
      await publish(publisher, ...Array.from({ length: 12 }, (_, n) => event('a', n)));
      expect(seen).toBe(most);
    }
  });

  it('sends none of a key after one that was not taken, and all others', async () => {
    const a = await kit.receiver();
    a.answer = ({ n }) => (n === 2 ? 400 : n === 5 ? 500 : 204);
    const publisher = kit.publisherFor({ a: { url: a.url } });
    const keys = ['x', 'y', 'x', 'x', null, 'y', 'y', null];
    const outcomes = await publish(publisher, ...keys.map((key, n) => event('a', n, key)));
    expect(words(outcomes)).toEqual(['taken', 'taken', 'refused', 'unsent', 'taken', 'failed', 'unsent', 'taken']);
    expect(a.seen.map(({ n }) => n).toSorted((one, other) => one - other)).toEqual([0, 1, 2, 4, 5, 7]);
  });
});

describe('an endpoint', () => {
  it('that refuses for good, or sends elsewhere, parks that message alone', async () => {
    const [a, elsewhere] = [await kit.receiver(), await kit.receiver()];
    a.answer = ({ n }) =>
      n === 0
        ? (response) => response.writeHead(307, { location: elsewhere.url }).end()
        : n === 1
          ? 404
          : n === 2
            ? 410
            : 204;
    const gone: string[] = [];
    const publisher = kit.publisherFor({ a: { url: a.url } }, { onGone: (name) => gone.push(name) });
    const outcomes = await publish(publisher, event('a', 0), event('a', 1), event('a', 2), event('a', 3));
    expect(words(outcomes)).toEqual(['refused', 'refused', 'refused', 'taken']);
    expect(errorOf(outcomes[0])).toMatch(/answered 307.*not followed/);
    expect(elsewhere.seen).toEqual([]);
    expect(gone).toEqual(['a']);
  });

  it('that fails again and again is left alone, then tried with one, while the others go on', async () => {
    const clock = handClock();
    const [a, b] = [await kit.receiver(), await kit.receiver()];
    a.answer = () => 503;
    const told: Error[] = [];
    const publisher = kit.publisherFor(
      { a: { url: a.url, concurrency: 1 }, b: { url: b.url } },
      { onError: (error) => told.push(error) },
      { clock, random: () => 1 },
    );
    const toA = Array.from({ length: 5 }, (_, n) => event('a', n));
    expect(words(await publish(publisher, ...toA, event('b', 9)))).toEqual([
      'failed',
      'failed',
      'failed',
      'resting',
      'resting',
      'taken',
    ]);
    expect(told.map(({ message }) => message)).toEqual([expect.stringContaining('left alone for 5 s')]);
    await clock.advance(4_999);
    expect(words(await publish(publisher, ...toA))).toEqual(toA.map(() => 'resting'));
    expect(a.seen).toHaveLength(3);
    await clock.advance(1);
    const outcomes = await publish(publisher, ...toA, event('b', 10));
    expect(words(outcomes)).toEqual(['failed', 'resting', 'resting', 'resting', 'resting', 'taken']);
    expect(outcomes[1]).toMatchObject({ later: { delayMs: 10_000 } });
    expect(a.seen).toHaveLength(4);
    a.answer = () => 204;
    await clock.advance(10_000);
    expect(words(await publish(publisher, ...toA))).toEqual(toA.map(() => 'taken'));
  });

  it('that is back is found out with one request, however many may be under way', async () => {
    const clock = handClock();
    const a = await kit.receiver();
    a.answer = () => 500;
    const publisher = kit.publisherFor({ a: { url: a.url } }, {}, { clock });
    const batch = Array.from({ length: 5 }, (_, n) => event('a', n));
    expect(words(await publish(publisher, ...batch))).toEqual(batch.map(() => 'failed'));
    await clock.advance(5_000);
    expect(words(await publish(publisher, ...batch))).toEqual(['failed', ...batch.slice(1).map(() => 'resting')]);
    expect(a.seen).toHaveLength(6);
  });

  it('that asks for time gets it', async () => {
    const clock = handClock();
    const a = await kit.receiver();
    a.answer = () => (response) => response.writeHead(429, { 'retry-after': '30' }).end();
    const publisher = kit.publisherFor({ a: { url: a.url, concurrency: 1 } }, {}, { clock });
    const outcomes = await publish(publisher, event('a', 0), event('a', 1));
    expect(words(outcomes)).toEqual(['failed', 'resting']);
    expect(outcomes).toMatchObject([{ later: { delayMs: 30_000 } }, { later: { delayMs: 30_000 } }]);
    a.answer = () => 204;
    await clock.advance(29_999);
    expect(words(await publish(publisher, event('a', 2)))).toEqual(['resting']);
    await clock.advance(1);
    expect(words(await publish(publisher, event('a', 3)))).toEqual(['taken']);
  });

  it('that does not answer, or never ends its answer, is waited for no longer than its time', async () => {
    const a = await kit.receiver();
    let written = 0;
    const hanging: ServerResponse[] = [];
    a.answer =
      ({ n }) =>
      (response) => {
        hanging.push(response);
        if (n === 1) response.writeHead(200).write('drip');
        if (n === 2) {
          const fill = (): void => {
            while (!response.closed && response.write(Buffer.alloc(65_536))) written += 65_536;
            written += 65_536;
          };
          response.writeHead(200).on('drain', fill);
          fill();
        }
      };
    const publisher = kit.publisherFor({ hasty: { url: a.url, timeout: 300 }, patient: { url: a.url } });
    const outcomes = await publish(publisher, event('hasty', 0), event('patient', 1), event('patient', 2));
    expect(words(outcomes)).toEqual(['failed', 'taken', 'taken']);
    expect(errorOf(outcomes[0])).toContain('did not answer in time');
    await Promise.all(
      hanging.map(
        (response) =>
          new Promise<void>((resolve) => void (response.closed ? resolve() : response.on('close', resolve))),
      ),
    );
    // What fits into the buffers of two sockets, and not what a second brings.
    expect(written).toBeLessThan(32_000_000);
  });

  it('that has closed an idle connection gets the message over a fresh one', async () => {
    const a = await kit.receiver();
    const publisher = kit.publisherFor({ a: { url: a.url } });
    expect(words(await publish(publisher, event('a', 0)))).toEqual(['taken']);
    let broken = 0;
    a.answer = () => {
      if (broken > 0) return 204;
      broken += 1;
      return (response) => void response.socket?.resetAndDestroy();
    };
    expect(words(await publish(publisher, event('a', 1)))).toEqual(['taken']);
    expect(a.seen.map(({ n }) => n)).toEqual([0, 1, 1]);
    // Not for ever: over a fresh connection it is a failure.
    a.answer = () => (response) => void response.socket?.resetAndDestroy();
    expect(words(await publish(publisher, event('a', 2)))).toEqual(['failed']);
    expect(a.seen.filter(({ n }) => n === 2)).toHaveLength(1);
  });

  it('that is not there, or is something else, says what, and neither its address nor a secret', async () => {
    const something = createServer((socket) =>
      socket
        .resume()
        .end('SMTP hello\r\n')
        .on('error', () => {}),
    );
    await new Promise<void>((resolve) => void something.listen(0, '127.0.0.1', resolve));
    kit.ends.push(() => new Promise((resolve) => void something.close(() => resolve())));
    const { port } = something.address() as { port: number };
    const a = await kit.receiver();
    const publisher = kit.publisherFor(
      {
        nobody: { url: await closedAddress() },
        smtp: { url: `http://127.0.0.1:${port}/token-in-path` },
        plain: { url: a.url.replace('http:', 'https:') },
        unknown: { url: 'http://hooks.invalid/token-in-path', headers: { authorization: 'Bearer hunter2' } },
      },
      {},
      { resolve: () => Promise.reject(Object.assign(new Error('hooks.invalid'), { code: 'ENOTFOUND' })) },
    );
    const outcomes = await publish(
      publisher,
      ...['nobody', 'smtp', 'plain', 'unknown'].map((name, n) => event(name, n)),
    );
    expect(words(outcomes)).toEqual(['failed', 'failed', 'failed', 'failed']);
    const said = outcomes.map(errorOf);
    expect(said).toEqual([
      expect.stringMatching(/"nobody" cannot be reached \(ECONNREFUSED\)/),
      expect.stringMatching(/"smtp" does not speak HTTP/),
      expect.stringMatching(/"plain" does not speak TLS/),
      expect.stringMatching(/"unknown" cannot be reached \(E/),
    ]);
    expect(JSON.stringify(said) + said.join()).not.toMatch(/token|hunter2|whsec|127\.0\.0\.1|invalid/);
  });

  it('is told by messages that are too large, or no envelopes, nothing', async () => {
    const a = await kit.receiver();
    const publisher = kit.publisherFor({ a: { url: a.url } }, { maxMessageBytes: 200 });
    const large = { ...event('a', 0), wire: `{"data":"${'ü'.repeat(95)}"}` };
    const outcomes = await publish(
      publisher,
      large,
      { ...event('a', 1), wire: '{"no":"envelope"}' },
      event('a', 2),
      event('b', 3),
    );
    expect(words(outcomes)).toEqual(['refused', 'refused', 'taken', 'refused']);
    expect(errorOf(outcomes[3])).toContain('There is no endpoint "b"');
    expect(a.seen.map(({ n }) => n)).toEqual([2]);
  });
});

describe('a publisher', () => {
  it('gives up when it is told to, and says that times do not fit', async () => {
    const silent = await silentServer();
    kit.ends.push(() => silent.close());
    const publisher = kit.publisherFor({ a: { url: `http://127.0.0.1:${silent.port}/` } });
    const abort = new AbortController();
    const given = rejection(publisher.publish([event('a', 0)], { signal: abort.signal }));
    await silent.connected;
    abort.abort(new Error('enough'));
    expect(await given).toMatchObject({
      code: 'HF_TRANSPORT_UNAVAILABLE',
      message: expect.stringContaining('publishWithin'),
    });
    expect(await rejection(publisher.publish([event('a', 0)], { signal: abort.signal }))).toMatchObject({
      code: 'HF_TRANSPORT_UNAVAILABLE',
    });
    expect(await rejection(publisher.check({ signal: abort.signal }))).toMatchObject({
      code: 'HF_TRANSPORT_UNAVAILABLE',
    });
  });

  it('is closed once it is closed, also while a request is under way', async () => {
    const silent = await silentServer();
    kit.ends.push(() => silent.close());
    const publisher = kit.publisherFor({ a: { url: `http://127.0.0.1:${silent.port}/` } });
    const given = rejection(publish(publisher, event('a', 0)));
    await silent.connected;
    await publisher.close();
    await publisher.close();
    expect(await given).toMatchObject({ code: 'HF_TRANSPORT_UNAVAILABLE' });
    for (const late of [publish(publisher, event('a', 0)), publisher.check({ signal: NEVER })])
      expect(await rejection(late)).toMatchObject({ code: 'HF_STOPPED' });
  });
});
