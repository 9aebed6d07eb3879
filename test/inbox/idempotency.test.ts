/**
 * Idempotency keys: one run a key, one answer for all who ask.
 */
import { createHash } from 'node:crypto';
import type { PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { fingerprintOf } from '../../src/inbox/idempotency/fingerprint.ts';
import { idempotent } from '../../src/inbox/idempotency/idempotency.ts';
import { createAesGcmCodec } from '../../src/message/aes-gcm-codec.ts';
import type { PayloadCodec } from '../../src/message/codec.ts';
import { eventually } from '../support/eventually.ts';
import { rowsWith } from '../support/rows-with.ts';
import { clean, openLab, signal, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
beforeEach(() => clean(lab));
afterAll(() => lab.dispose());

const inTx = <T>(fn: (tx: PoolClient) => Promise<T>): Promise<T> => lab.database.transaction(fn);

it('runs once and gives the stored answer again', async () => {
  let runs = 0;
  const call = () =>
    inTx((tx) =>
      idempotent(tx, { key: 'key-1', fingerprint: 'f' }, async () => {
        runs += 1;
        return { order: 'o-1', items: [1, 2], note: 'grüße' };
      }),
    );
  const answers = [await call(), await call(), await call()];
  expect(runs).toBe(1);
  expect(answers).toEqual(Array(3).fill({ order: 'o-1', items: [1, 2], note: 'grüße' }));
});

it.each([[null], [undefined], [false], [0], ['']])('stores %o as well', async (answer) => {
  let runs = 0;
  const call = () =>
    inTx((tx) =>
      idempotent(tx, { key: 'key-1', fingerprint: 'f' }, () => {
        runs += 1;
        return answer;
      }),
    );
  expect([await call(), await call()]).toEqual([answer ?? null, answer ?? null]);
  expect(runs).toBe(1);
});

it('refuses the same key for another request', async () => {
  await inTx((tx) => idempotent(tx, { key: 'key-1', fingerprint: 'f' }, () => 1));
  await expect(inTx((tx) => idempotent(tx, { key: 'key-1', fingerprint: 'g' }, () => 2))).rejects.toMatchObject({
    code: 'HF_IDEMPOTENCY_CONFLICT',
  });
});

it('keeps the order of keys in an answer', async () => {
  const call = () =>
    inTx((tx) => idempotent(tx, { key: 'key-1', fingerprint: 'f' }, () => ({ zebra: 1, a: { z: 1, b: 2 }, aa: 3 })));
  const texts = [await call(), await call()].map((answer) => JSON.stringify(answer));
  expect(texts).toEqual(Array(2).fill('{"zebra":1,"a":{"z":1,"b":2},"aa":3}'));
});

describe('with a codec', () => {
  const secret = (byte: number) => Buffer.alloc(32, byte).toString('base64');
  const a = createAesGcmCodec({ keys: { a: secret(1) } });
  const both = createAesGcmCodec({ keys: { a: secret(1), b: secret(2) }, use: 'b' });
  const ask = (codec: PayloadCodec | undefined, answer: unknown = 'other', fingerprint = 'f-secret', key = 'key-1') =>
    inTx((tx) => idempotent(tx, { key, fingerprint, codec }, () => answer));
  const first = { note: 'secret', order: 1.0 };
  const kept = async () => (await rowsWith(lab.test.pool, 'secret')).length;

  it('keeps nothing readable, and gives the answer again, also after its key was replaced', async () => {
    expect(await ask(a, first)).toEqual(first);
    expect(await kept()).toBe(0);
    expect(await ask(a)).toEqual(first);
    expect(await ask(both)).toEqual(first);
    for (const codec of [a, both])
      await expect(ask(codec, 1, 'another')).rejects.toMatchObject({ code: 'HF_IDEMPOTENCY_CONFLICT' });
  });

  it('gives what was kept before', async () => {
    await ask(undefined, first);
    expect(await kept()).toBe(1);
    expect(await ask(a)).toEqual(first);
    await expect(ask(a, 1, 'another')).rejects.toMatchObject({ code: 'HF_IDEMPOTENCY_CONFLICT' });
  });

  it('runs nothing where it cannot be opened', async () => {
    await ask(both, first);
    for (const codec of [a, undefined])
      await expect(ask(codec)).rejects.toMatchObject({ code: 'HF_PAYLOAD_ENCRYPTED', details: { key: 'b' } });
  });

  it('opens nothing that was moved from another key', async () => {
    await ask(a, first, 'f-secret', 'key-2');
    await ask(a, 'mine');
    await lab.test.pool.query(
      `UPDATE holdfast.idempotency_key SET answer_text = (SELECT answer_text FROM holdfast.idempotency_key WHERE key = 'key-2')`,
    );
    await expect(ask(a)).rejects.toMatchObject({ code: 'HF_PAYLOAD_ENCRYPTED', details: { why: 'altered' } });
  });
});

it('takes a fingerprint for one, whatever it looks like', async () => {
  for (const fingerprint of ['{"$enc":', '{"$enc":"a","more":1}']) {
    const ask = (own: string) => inTx((tx) => idempotent(tx, { key: fingerprint, fingerprint: own }, () => 'first'));
    await ask(fingerprint);
    expect(await ask(fingerprint)).toBe('first');
    await expect(ask('another')).rejects.toMatchObject({ code: 'HF_IDEMPOTENCY_CONFLICT' });
  }
});

describe.each(['read committed', 'repeatable read', 'serializable'])('two at the same moment, %s', (isolation) => {
  const inIsolation = <T>(fn: (tx: PoolClient) => Promise<T>): Promise<T> =>
    lab.database.transaction(async (tx) => {
      await tx.query(`SET TRANSACTION ISOLATION LEVEL ${isolation}`);
      await tx.query('SELECT 1');
      const result = await fn(tx);
      // The transaction is as good as before.
      await tx.query("INSERT INTO effect (id, note) VALUES (gen_random_uuid(), 'after')");
      return result;
    });

  it('are told apart by their fingerprints', async () => {
    const started = signal();
    const goOn = signal();
    const one = inIsolation((tx) =>
      idempotent(tx, { key: 'key-1', fingerprint: 'f' }, () => (started.fire(), goOn.promise.then(() => 'first'))),
    );
    await started.promise;
    const two = inIsolation((tx) => idempotent(tx, { key: 'key-1', fingerprint: 'g' }, () => 'second'));
    await eventually('the second one to wait for the first', async () => {
      const { rows } = await lab.test.pool.query(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
      );
      return rows.length > 0;
    });
    goOn.fire();
    expect(await Promise.allSettled([one, two])).toMatchObject([
      { value: 'first' },
      { reason: { code: 'HF_IDEMPOTENCY_CONFLICT' } },
    ]);
  });

  async function race(
    first: (goOn: Promise<void>) => Promise<string>,
  ): Promise<{ readonly answers: readonly PromiseSettledResult<string>[]; readonly runs: number }> {
    let runs = 0;
    const started = signal();
    const goOn = signal();
    const one = inIsolation((tx) =>
      idempotent(tx, { key: 'key-1', fingerprint: 'f' }, () => {
        runs += 1;
        started.fire();
        return first(goOn.promise);
      }),
    );
    await started.promise;
    const two = inIsolation((tx) =>
      idempotent(tx, { key: 'key-1', fingerprint: 'f' }, async () => {
        runs += 1;
        return 'second';
      }),
    );
    await eventually('the second one to wait for the first', async () => {
      const { rows } = await lab.test.pool.query(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
      );
      return rows.length > 0;
    });
    goOn.fire();
    return { answers: await Promise.allSettled([one, two]), runs };
  }

  it('give one run and the same answer', async () => {
    const { answers, runs } = await race(async (goOn) => {
      await goOn;
      return 'first';
    });
    expect(runs).toBe(1);
    expect(answers).toEqual([
      { status: 'fulfilled', value: 'first' },
      { status: 'fulfilled', value: 'first' },
    ]);
  });

  it('let the second run when the first fails', async () => {
    const { answers, runs } = await race(async (goOn) => {
      await goOn;
      throw new Error('no');
    });
    expect(runs).toBe(2);
    expect(answers).toMatchObject([{ status: 'rejected' }, { status: 'fulfilled', value: 'second' }]);
  });
});

it('leaves no key behind when the failure is swallowed and committed', async () => {
  await inTx(async (tx) => {
    await idempotent(tx, { key: 'key-1', fingerprint: 'f' }, () => Promise.reject(new Error('no'))).catch(() => {});
  });
  expect(await lab.count('idempotency_key')).toBe(0);
});

it.each([
  ['an empty key', '', 'f', 'HF_CONFIG'],
  ['an empty fingerprint', 'k', '', 'HF_CONFIG'],
  ['NUL', 'a\0b', 'f', 'HF_PAYLOAD_TEXT'],
  ['a long key', 'k'.repeat(513), 'f', 'HF_PAYLOAD_TOO_LARGE'],
])('refuses %s', async (_name, key, fingerprint, code) => {
  await expect(inTx((tx) => idempotent(tx, { key, fingerprint }, () => 1))).rejects.toMatchObject({ code });
});

it('refuses an answer that JSON cannot carry', async () => {
  await expect(inTx((tx) => idempotent(tx, { key: 'k', fingerprint: 'f' }, () => new Date()))).rejects.toMatchObject({
    code: 'HF_PAYLOAD_NOT_JSON',
  });
  expect(await lab.count('idempotency_key')).toBe(0);
});

it('refuses a client that is in no transaction', async () => {
  await lab.database.withConnection(async (client) => {
    await client.query('SELECT 1');
    await expect(idempotent(client, { key: 'k', fingerprint: 'f' }, () => 1)).rejects.toMatchObject({
      code: 'HF_NOT_IN_TRANSACTION',
    });
  });
});

describe('fingerprints', () => {
  it('do not depend on the order of properties', () => {
    expect(fingerprintOf({ a: 1, b: { c: [1, 2], d: 'x' } })).toBe(fingerprintOf({ b: { d: 'x', c: [1, 2] }, a: 1 }));
    const [one, two] = [
      new Map<unknown, unknown>([
        ['a', 1],
        [{ k: 1 }, new Set([1, 2])],
      ]),
      new Map<unknown, unknown>([
        [{ k: 1 }, new Set([2, 1])],
        ['a', 1],
      ]),
    ];
    expect(fingerprintOf(one)).toBe(fingerprintOf(two));
  });

  it('stay what they were for what JSON carries', () => {
    const request = {
      b: [1, null, 'x', { z: 1, a: true }],
      a: 1.5,
      10: 'ten',
      9: 'nine',
      at: new Date(0),
      gone: undefined,
    };
    const was = createHash('sha256')
      .update('{"9":"nine","10":"ten","a":1.5,"at":"1970-01-01T00:00:00.000Z","b":[1,null,"x",{"a":true,"z":1}]}')
      .digest('hex');
    expect(fingerprintOf(request)).toBe(was);
    expect(fingerprintOf(undefined)).toBe(createHash('sha256').update('undefined').digest('hex'));
  });

  it('differ for whatever differs', () => {
    const requests = [
      null,
      'null',
      undefined,
      [undefined],
      [null],
      [],
      {},
      NaN,
      Infinity,
      -Infinity,
      'NaN',
      0,
      '0',
      0n,
      1n,
      '1n',
      9007199254740993n,
      new Map(),
      new Map([['a', 1]]),
      new Map([['a', 2]]),
      new Map([[1, 'a']]),
      new Map([['1', 'a']]),
      { a: 1 },
      { a: '1' },
      new Set(),
      new Set([1]),
      new Set(['1']),
      [1],
      [1, 2],
      [2, 1],
      new Date(NaN),
      new Date(0),
      new Date(1),
      { a: new Date(NaN) },
      { a: null },
    ];
    expect(new Set(requests.map(fingerprintOf)).size).toBe(requests.length);
  });

  it('are refused for what shows nothing of itself', () => {
    const self: { me?: unknown } = {};
    self.me = self;
    for (const request of [
      () => 1,
      Symbol('s'),
      new URLSearchParams('a=1'),
      new Error('x'),
      /x/,
      self,
      { deep: new WeakMap() },
    ])
      expect(() => fingerprintOf(request)).toThrow(/HF_CONFIG|fingerprintOf/);
  });
});
