/** What a dashboard refuses before it opens anything: settings by which nobody, or anybody, would come in. */
import { describe, expect, it } from 'vitest';
import { settleDashboard, type DashboardOptions } from '../../src/dashboard/server/options.ts';
import { tokenAuthenticator } from '../../src/dashboard/server/token-authenticator.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { showAll } from '../../src/runtime/redact.ts';

const database = openDatabase({ url: 'postgres://nobody@127.0.0.1:1/nothing' });
const authenticators = [tokenAuthenticator(['otto:operator:correct-horse-battery'])];
const settle = (more: Partial<DashboardOptions> = {}) => settleDashboard({ database, authenticators, ...more });

describe('what is refused', () => {
  it.each<[string, Partial<DashboardOptions>, RegExp]>([
    ['nobody who could be let in', { authenticators: [] }, /no authenticator/],
    ['a role that is none', { anonymous: 'root' as never }, /role/],
    ['a key that could be guessed', { sessionKey: 'k'.repeat(31) }, /fewer than 32/],
    ['no database', { database: undefined }, /no database/],
    ['one database and several', { databases: { orders: database } }, /both database and databases/],
    ['a name with a port', { hosts: ['ops.test:80'] }, /has the host/],
    ['any name', { hosts: ['*'] }, /has the host/],
    ['an address of a proxy that is none', { trustedProxies: ['10.0.0.0/33'] }, /trustedProxies/],
    ['a path that is one of its own', { basePath: '/api' }, /basePath/],
    ['a path that leads elsewhere', { basePath: '/ops/../..' }, /basePath/],
    ['a path with what a header could be made of', { basePath: '/ops\r\nx: y' }, /basePath/],
    ['what nobody knows', { hidePayload: true } as never, /hidePayload/],
    ['a path of redact that is none', { redact: [''] }, /redact/],
  ])('%s', (_, more, message) => {
    expect(() => settle(more)).toThrow(message);
  });
});

it('lets nobody in without a login, and hides nothing, unless it is told to', () => {
  expect(settle()).toMatchObject({ anonymous: null, signOn: null, basePath: '', redact: showAll });
  expect(settle().trustedProxies.has('127.0.0.1')).toBe(false);
  expect(settle({ anonymous: 'viewer', basePath: '/ops/' })).toMatchObject({
    anonymous: { actor: 'anonymous', role: 'viewer' },
    basePath: '/ops',
  });
  expect(settle({ hosts: ['OPS.test', '[::1]'] }).hosts).toEqual(new Set(['ops.test', '[::1]']));
});
