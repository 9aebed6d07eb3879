/** What of idempotency keys is decided without a database: whose key it is, which answers are kept, and for how long a handler is waited for. */
import { describe, expect, it } from 'vitest';
import {
  readIdempotencyKey,
  requestFingerprint,
  storedKeyOf,
  type IdempotentRequest,
} from '../../src/adapters/http/idempotency-key.ts';
import { createKeyPruner } from '../../src/adapters/http/key-pruner.ts';
import { runLimited } from '../../src/adapters/http/limited-handler.ts';
import { isFinalStatus, readStoredAnswer, storeAnswer } from '../../src/adapters/http/stored-answer.ts';
import { createDeadlines } from '../../src/runtime/deadlines.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';

const request: IdempotentRequest = { method: 'POST', url: '/orders?dry=1', key: 'k', scope: 'ann', body: { id: 1 } };

describe('a key', () => {
  it.each([
    ['"k-1"', 'k-1'],
    ['k-1', 'k-1'],
    [' "a \\"b\\"" ', 'a "b"'],
    ['"k-1";v=1', 'k-1'],
    [null, null],
  ])('%j is read as %j', (header, key) => {
    expect(readIdempotencyKey(header)).toBe(key);
  });

  it.each([[''], ['""'], ['a, b'], ['a,b'], ['"a", "b"'], ['"open'], ['grün'], ['x'.repeat(256)], [['a', 'b']]])(
    '%j is none',
    (header) => {
      expect(() => readIdempotencyKey(header)).toThrow('cannot be read');
    },
  );

  it('stands for one user, method and path, and not for what could be put together from them', () => {
    const mine = storedKeyOf(request, 'k');
    expect(storedKeyOf({ ...request, url: 'https://shop.test/orders?dry=2#x', method: 'post' }, 'k')).toBe(mine);
    const others = [
      storedKeyOf({ ...request, scope: 'bob' }, 'k'),
      storedKeyOf({ ...request, method: 'DELETE' }, 'k'),
      storedKeyOf({ ...request, url: '/payments' }, 'k'),
      storedKeyOf(request, 'K'),
      storedKeyOf({ ...request, scope: 'an', method: 'nPOST' }, 'k'),
      storedKeyOf({ ...request, url: '/order' }, 'sk'),
    ];
    expect(new Set([mine, ...others]).size).toBe(7);
  });

  it('comes with the same query and body, or it is another request', () => {
    const mine = requestFingerprint(request);
    expect(requestFingerprint({ ...request, scope: 'bob', url: '/elsewhere?dry=1' })).toBe(mine);
    const bytes = (text: string) => requestFingerprint({ ...request, body: Buffer.from(text) });
    expect(bytes('abc')).toBe(bytes('abc'));
    const others = [
      requestFingerprint({ ...request, url: '/orders?dry=0' }),
      requestFingerprint({ ...request, body: { id: 2 } }),
      bytes('abc'),
      bytes('abd'),
    ];
    expect(new Set([mine, ...others]).size).toBe(5);
  });
});

describe('an answer', () => {
  it('is final when the same request would get it again later', () => {
    const statuses = [200, 201, 303, 400, 401, 403, 404, 407, 408, 409, 410, 422, 425, 429, 500, 502, 503];
    expect(statuses.filter(isFinalStatus)).toEqual([200, 201, 303, 400, 404, 409, 410, 422]);
  });

  it('is kept without what is of one connection or one visitor, however it is written', () => {
    const headers = { 'Set-Cookie': ['a=1'], 'set-cookie': 'b=1', Date: 'today', 'content-length': '3', ETag: '"1"' };
    expect(storeAnswer({ status: 200, headers, body: null }, 10).headers).toEqual({ etag: '"1"' });
  });

  it.each([
    ['a text', 'grüße'],
    ['a text that the database cannot hold', 'a\u0000b'],
    ['bytes that are a text', Buffer.from('\uFEFFgrüße')],
    ['bytes that are none', Buffer.from([0xff, 0xfe, 65])],
    ['nothing', null],
  ])('of %s is given again as it was', (_, body) => {
    const kept: unknown = JSON.parse(JSON.stringify(storeAnswer({ status: 200, headers: {}, body }, 100)));
    const again = readStoredAnswer(kept as ReturnType<typeof storeAnswer>).body;
    expect(again === null ? null : Buffer.from(again)).toEqual(body === null ? null : Buffer.from(body));
  });

  it('that is too large is not kept, counted in bytes', () => {
    expect(() => storeAnswer({ status: 200, headers: {}, body: 'üüü' }, 5)).toThrow('over 5 bytes');
    expect(storeAnswer({ status: 200, headers: {}, body: 'üüü' }, 6).body).toEqual({ text: 'üüü' });
  });

  it.each([100, 199, 600, 200.5, Number.NaN])('with the status %d is a mistake', (status) => {
    expect(() => storeAnswer({ status, headers: {}, body: null }, 5)).toThrow(/200 to 599|answered/);
  });
});

describe('a handler', () => {
  const limited = (handler: (signal: AbortSignal) => Promise<string>) => {
    const clock = createManualClock();
    return { clock, run: runLimited(handler, { timeoutMs: 30_000, deadlines: createDeadlines(clock) }) };
  };

  it('whose time is up is told so, and what it answers then counts for nothing', async () => {
    const { clock, run } = limited(
      (signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve('late'))),
    );
    await clock.advance('30s');
    expect(await run).toMatchObject({ kind: 'timeout', hung: false, error: { code: 'HF_HANDLER_TIMEOUT' } });
  });

  it('that takes no notice is left behind a moment later', async () => {
    const { clock, run } = limited(() => new Promise(() => {}));
    let ended: unknown;
    void run.then((how) => (ended = how));
    await clock.advance('30s');
    expect(ended).toBeUndefined();
    await clock.advance('1s');
    expect(ended).toMatchObject({ kind: 'timeout', hung: true });
  });

  it('that is quick enough is not told anything', async () => {
    let told = false;
    const { clock, run } = limited(async (signal) => {
      signal.addEventListener('abort', () => (told = true));
      return 'done';
    });
    expect(await run).toEqual({ kind: 'done', value: 'done' });
    await clock.advance('1m');
    expect(told).toBe(false);
  });
});

describe('answers that are old enough', () => {
  function pruning(perChunk: readonly number[]) {
    const clock = createManualClock();
    const left = [...perChunk];
    let chunks = 0;
    const work = {
      schema: 'holdfast',
      transaction: async () => {
        chunks += 1;
        return (left.shift() ?? 0) as never;
      },
    };
    return { clock, pruner: createKeyPruner({ work, retentionMs: 1, clock, log: silentLogger }), chunks: () => chunks };
  }

  it('are deleted chunk by chunk until there are no more', async () => {
    const { pruner, chunks } = pruning([1_000, 1_000, 7, 1_000]);
    expect(await pruner.prune()).toBe(2_007);
    expect(chunks()).toBe(3);
  });

  it('are looked for once a minute, however many requests come', async () => {
    const { clock, pruner, chunks } = pruning([]);
    pruner.remind();
    expect(chunks()).toBe(0);
    await clock.advance('1m');
    for (let requests = 0; requests < 5; requests += 1) pruner.remind();
    expect(chunks()).toBe(1);
    await clock.advance('1m');
    pruner.remind();
    expect(chunks()).toBe(2);
  });
});
