/** What webhooks are sent to, and what not: addresses, TLS, endpoints that are looked up, options. */
import { execFileSync } from 'node:child_process';
import type { LookupAddress } from 'node:dns';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { WebhookEndpoint } from '../../../src/transport/webhooks/endpoint.ts';
import { createWebhookTransport, makeWebhookTransport } from '../../../src/transport/webhooks/webhook-transport.ts';
import { rejection } from '../../../src/testing/transport/kit.ts';
import { closedAddress, errorOf, event, handClock, publish, useWebhooks, words } from './kit.ts';
import { SECRET } from './receiver.ts';

const kit = useWebhooks();

describe('addresses', () => {
  const resolving = (...answers: string[][]) => {
    let asked = 0;
    return {
      asked: () => asked,
      resolve: async (): Promise<LookupAddress[]> => {
        asked += 1;
        return (answers[asked - 1] ?? answers.at(-1) ?? []).map((address) => ({ address, family: 4 }));
      },
    };
  };
  const rules = { allowPrivate: ['127.0.0.1/32'] };

  it('that are not public get nothing, by name or by number', async () => {
    const a = await kit.receiver();
    const { resolve } = resolving(['127.0.0.1']);
    const publisher = kit.publisherFor(
      { a: { url: `http://inner.example:${a.port}/` } },
      { allowPrivate: false },
      { resolve },
    );
    const outcomes = await publish(publisher, event('a', 0));
    expect(words(outcomes)).toEqual(['refused']);
    expect(errorOf(outcomes[0])).toContain('not public');
    expect(() => kit.publisherFor({ a: { url: a.url } }, { allowPrivate: false })).toThrow(/not public/);
    const asked = kit
      .kept(createWebhookTransport({ endpoints: () => ({ url: a.url, secrets: SECRET }), allowHttp: true }))
      .publisher();
    expect(words(await publish(asked, event('a', 1)))).toEqual(['refused']);
    expect(a.connections()).toBe(0);
  });

  it('are connected to as they were checked: a name that then leads elsewhere gains nothing', async () => {
    const a = await kit.receiver();
    a.answer = () => (response) => response.writeHead(204, { connection: 'close' }).end();
    const names = resolving(['127.0.0.1'], ['127.0.0.2']);
    const publisher = kit.publisherFor({ a: { url: `http://hooks.example:${a.port}/` } }, rules, names);
    expect(words(await publish(publisher, event('a', 0)))).toEqual(['taken']);
    expect(names.asked()).toBe(1);
    expect(a.seen[0]?.headers.host).toBe(`hooks.example:${a.port}`);
    expect(words(await publish(publisher, event('a', 1)))).toEqual(['refused']);
    expect(a.seen).toHaveLength(1);
  });

  it('of one name are used as far as they are allowed', async () => {
    const a = await kit.receiver();
    const publisher = kit.publisherFor(
      { a: { url: `http://hooks.example:${a.port}/` } },
      rules,
      resolving(['10.0.0.1', '127.0.0.1']),
    );
    expect(words(await publish(publisher, event('a', 0)))).toEqual(['taken']);
  });
});

it('TLS is checked, against the authorities that it is told of', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-tls-'));
  kit.ends.push(async () => rmSync(folder, { recursive: true, force: true }));
  const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const subject = ['-subj', '/CN=hooks.example', '-addext', 'subjectAltName=DNS:hooks.example'];
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', keyFile, '-out', certFile, ...subject],
    { stdio: 'ignore' },
  );
  const [key, cert] = [keyFile, certFile].map((file) => readFileSync(file, 'utf8')) as [string, string];
  const a = await kit.receiver({ tls: { key, cert } });
  const resolve = async () => [{ address: '127.0.0.1', family: 4 }];
  const url = (host: string): string => `https://${host}:${a.port}/`;
  const publisher = kit.publisherFor(
    {
      known: { url: url('hooks.example'), tls: { ca: cert } },
      unknown: { url: url('hooks.example') },
      other: { url: url('other.example'), tls: { ca: cert } },
      plain: { url: `http://hooks.example:${a.port}/` },
    },
    {},
    { resolve },
  );
  const outcomes = await publish(publisher, ...['known', 'unknown', 'other', 'plain'].map((name, n) => event(name, n)));
  expect(words(outcomes)).toEqual(['taken', 'failed', 'failed', 'failed']);
  expect(outcomes.map(errorOf).slice(1)).toEqual([
    expect.stringContaining('certificate that it signed itself'),
    expect.stringContaining('certificate for another name'),
    expect.stringMatching(/cannot be reached|does not speak HTTP/),
  ]);
});

describe('endpoints that are looked up', () => {
  it('are asked for by name, kept for a while, and may want nothing', async () => {
    const a = await kit.receiver();
    const clock = handClock();
    const asked: string[] = [];
    let url = a.url;
    const publisher = kit
      .kept(
        makeWebhookTransport(
          {
            endpointOf: ({ key, topic }) => (topic === 'test.happened' ? key : null),
            endpoints: async (name) => {
              asked.push(name);
              return name === 'nobody' ? null : { url, secrets: SECRET };
            },
            allowHttp: true,
            allowPrivate: true,
          },
          { clock },
        ),
      )
      .publisher();
    const batch = ['t1', 't2', 't1', 'nobody'].map((key, n) => event('all', n, key));
    expect(words(await publish(publisher, ...batch, { ...event('all', 4, 't1'), topic: 'other' }))).toEqual(
      batch.map(() => 'taken').concat('taken'),
    );
    expect(a.seen.map(({ n }) => n).toSorted((one, other) => one - other)).toEqual([0, 1, 2]);
    expect(asked).toEqual(['t1', 't2', 'nobody']);
    url = await closedAddress();
    expect(words(await publish(publisher, event('all', 5, 't1')))).toEqual(['taken']);
    await clock.advance(10_000);
    expect(words(await publish(publisher, event('all', 6, 't1')))).toEqual(['failed']);
    expect(asked).toEqual(['t1', 't2', 'nobody', 't1']);
  });

  it('put messages off that nobody can say where to send, and park what cannot be used', async () => {
    const clock = handClock();
    let calls = 0;
    const answers: Record<string, () => unknown> = {
      broken: () => {
        calls += 1;
        throw new Error('no database');
      },
      forgotten: () => undefined,
      plain: () => ({ url: 'http://hooks.example/', secrets: SECRET }),
      unsigned: () => ({ url: 'https://hooks.example/' }),
      secret: () => ({ url: 'https://hooks.example/', secrets: 'hunter2' }),
    };
    const endpoints = (name: string) => answers[name]?.() as WebhookEndpoint | null;
    const publisher = kit.kept(makeWebhookTransport({ endpoints }, { clock })).publisher();
    const batch = Object.keys(answers).map((name, n) => event(name, n));
    const outcomes = await publish(publisher, ...batch);
    expect(words(outcomes)).toEqual(['resting', 'refused', 'refused', 'refused', 'refused']);
    expect(outcomes.map(errorOf).join()).not.toContain('hunter2');
    expect(errorOf(outcomes[0])).toContain('no database');
    await publish(publisher, event('broken', 9));
    expect(calls).toBe(1);
    await clock.advance(1_000);
    await publish(publisher, event('broken', 10));
    expect(calls).toBe(2);
  });

  it('whose name cannot be told are a fault of the code that tells it', async () => {
    const endpointOf = (() => undefined) as unknown as () => string;
    const publisher = kit.kept(createWebhookTransport({ endpoints: () => null, endpointOf })).publisher();
    expect(await rejection(publish(publisher, event('a', 0)))).toBeInstanceOf(TypeError);
  });
});

describe('options', () => {
  const good = { url: 'https://hooks.example/in', secrets: SECRET };
  const make = (options: object) => () => createWebhookTransport({ endpoints: { a: good }, ...options });

  it.each<[string, object]>([
    ['no endpoints', { endpoints: undefined }],
    ['an empty list', { endpoints: {} }],
    ['an unknown option', { retries: 3 }],
    ['an unknown option of an endpoint', { endpoints: { a: { ...good, secret: SECRET } } }],
    ['http', { endpoints: { a: { ...good, url: 'http://hooks.example/' } } }],
    ['no URL', { endpoints: { a: { ...good, url: 'hooks.example' } } }],
    ['a URL with a password', { endpoints: { a: { ...good, url: 'https://me:hunter2@hooks.example/' } } }],
    ['another scheme', { endpoints: { a: { ...good, url: 'file:///etc/passwd' } }, allowHttp: true }],
    ['no secret', { endpoints: { a: { ...good, secrets: [] } } }],
    ['a secret that is none', { endpoints: { a: { ...good, secrets: 'hunter2' } } }],
    ['a short secret', { endpoints: { a: { ...good, secrets: 'whsec_aHVudGVyMg==' } } }],
    ['a header of ours', { endpoints: { a: { ...good, headers: { 'Webhook-Id': 'x' } } } }],
    ['a header of the body', { endpoints: { a: { ...good, headers: { 'transfer-encoding': 'chunked' } } } }],
    ['a header of two lines', { endpoints: { a: { ...good, headers: { 'x-a': 'hunter2\r\nx-b: 1' } } } }],
    ['a timeout beyond one publish', { endpoints: { a: { ...good, timeout: '8s' } } }],
    ['a concurrency of none', { endpoints: { a: { ...good, concurrency: 0 } } }],
    ['no time', { publishWithin: 0 }],
    ['another body', { body: 'xml' }],
    ['another ending', { refuseForGood: 'never' }],
    ['a subnet that is none', { allowPrivate: ['intranet'] }],
    ['a breaker that never opens', { breaker: { consecutiveFailures: 0 } }],
    ['an unknown option of the breaker', { breaker: { after: 3 } }],
    ['a limit of none', { maxMessageBytes: 0 }],
  ])('refuse %s, and show no secret', (_, options) => {
    expect(make(options)).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^HF_(CONFIG|OPTION_UNKNOWN)$/) }),
    );
    expect(make(options)).not.toThrow(/hunter2|aHVudGVyMg/);
  });

  it('have defaults', () => {
    expect(make({})).not.toThrow();
  });

  it('say that nothing is received by it', () => {
    const receive = () => make({})().receiver('a', async () => ({ kind: 'done' }), { concurrency: 1, ordered: false });
    expect(receive).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
  });
});
