/** Where a request comes from: what is believed of proxies, and by which names the dashboard may be called. */
import { describe, expect, it } from 'vitest';
import { createAddressList, isLoopbackAddress, isLoopbackName } from '../../src/dashboard/server/addresses.ts';
import { factsOf, isCalledRightly } from '../../src/dashboard/server/request-facts.ts';

const trusted = createAddressList(['10.0.0.0/8', 'fd00::/8'], 'test');
const facts = (peer: string | null, headers: Readonly<Record<string, string>> = {}) =>
  factsOf({ peer, encrypted: false, urlHost: 'dash.test', header: (name) => headers[name] ?? null }, trusted);

describe('addresses', () => {
  it.each(['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1'])('%s is this machine', (address) => {
    expect(isLoopbackAddress(address)).toBe(true);
  });

  it.each(['10.0.0.1', '0.0.0.0', '::', '::ffff:10.0.0.1', '2001:db8::1', 'localhost', '', null])(
    '%s is not',
    (address) => {
      expect(isLoopbackAddress(address)).toBe(false);
    },
  );

  it.each(['localhost', 'a.localhost', '127.0.0.1', '[::1]'])('the name %s means this machine', (name) => {
    expect(isLoopbackName(name)).toBe(true);
  });

  it.each(['localhost.evil.test', 'evil.test', 'notlocalhost', '127.0.0.1.nip.io', '0.0.0.0', ''])(
    'the name %s does not',
    (name) => {
      expect(isLoopbackName(name)).toBe(false);
    },
  );

  it.each(['10.0.0.0/33', '10.0.0/8', 'ten', '', '::1/129', '10.0.0.0/8/8', '10.0.0.0/'])('%j is no range', (range) => {
    expect(() => createAddressList([range], 'trustedProxies')).toThrow(/trustedProxies has/);
  });
});

describe('what a proxy says', () => {
  const said = {
    'x-forwarded-for': '203.0.113.9',
    'x-forwarded-host': 'ops.example.com',
    'x-forwarded-proto': 'https',
    host: 'inside:8080',
  };

  it('is believed from an address that is trusted', () => {
    expect(facts('10.1.2.3', said)).toMatchObject({
      client: '203.0.113.9',
      host: 'ops.example.com',
      https: true,
      passedOn: true,
      calledName: 'inside',
    });
  });

  it('is as if it were not there from any other', () => {
    expect(facts('203.0.113.1', said)).toMatchObject({ client: '203.0.113.1', host: 'inside:8080', https: false });
  });

  it('may be that whoever asks speaks HTTP', () => {
    expect(facts('10.1.2.3', { ...said, 'x-forwarded-proto': 'http' }).https).toBe(false);
  });

  it.each(['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip', 'via'])(
    'shows that there is one: %s',
    (name) => {
      expect(facts('127.0.0.1').passedOn).toBe(false);
      expect(facts('127.0.0.1', { [name]: 'x' }).passedOn).toBe(true);
    },
  );

  it('names the client by the rightmost address that is no proxy of ours: the rest anybody can write', () => {
    const chain = { ...said, 'x-forwarded-for': '127.0.0.1, 198.51.100.7, 10.9.9.9' };
    expect(facts('10.1.2.3', chain).client).toBe('198.51.100.7');
    expect(facts('10.1.2.3', { ...said, 'x-forwarded-for': '[2001:db8::1]:4711' }).client).toBe('2001:db8::1');
    expect(facts('10.1.2.3', { ...said, 'x-forwarded-for': '198.51.100.7:80' }).client).toBe('198.51.100.7');
    expect(facts('10.1.2.3', { ...said, 'x-forwarded-for': '1.2.3.4, garbage' }).client).toBe('10.1.2.3');
  });
});

describe('the name by which it is called', () => {
  const isRight = (peer: string | null, host: string, hosts: readonly string[] = []) =>
    isCalledRightly(facts(peer, { host }), new Set(hosts));

  it('must mean this machine when this machine calls: names of others can be made to point here', () => {
    expect(isRight('127.0.0.1', 'localhost:9465')).toBe(true);
    expect(isRight('::1', '[::1]:9465')).toBe(true);
    expect(isRight('127.0.0.1', 'evil.test')).toBe(false);
    expect(isRight('127.0.0.1', 'localhost.evil.test:9465')).toBe(false);
    expect(isRight('127.0.0.1', 'x y')).toBe(false);
    expect(isRight('127.0.0.1', 'ops.example.com', ['ops.example.com'])).toBe(true);
  });

  it('is one of those that were given, where some were', () => {
    expect(isRight('203.0.113.1', 'anything.test')).toBe(true);
    expect(isRight('203.0.113.1', 'anything.test', ['ops.example.com'])).toBe(false);
    expect(isRight('203.0.113.1', 'OPS.example.com:443', ['ops.example.com'])).toBe(true);
    expect(isRight(null, 'anything.test', ['ops.example.com'])).toBe(false);
  });
});
