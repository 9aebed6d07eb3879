/**
 * A dashboard that asks a real OpenID provider, over real connections, on a server whose requests go to the dashboard that was made last.
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach } from 'vitest';
import {
  createDashboard,
  oidcAuthenticator,
  tokenAuthenticator,
  type Dashboard,
  type OidcAuthenticatorOptions,
} from '../../src/dashboard/dashboard.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import {
  SECRET,
  startIdentityProvider,
  type IdentityProvider,
  type IdentityProviderOptions,
  type Visitor,
} from '../support/identity-provider.ts';

const GROUPS = { ada: ['staff', 'on-call'], anna: ['on-call', 'platform'], mallory: ['on-call'], eve: ['staff'] };
const ROLES = { 'on-call': 'operator', platform: 'admin' } as const;
/** Of vera, a viewer, who needs no provider. */
export const TOKEN = 'a-token-of-the-tests';

export interface OidcLab {
  /** Of the dashboard, without a slash at the end. */
  readonly home: string;
  readonly provider: IdentityProvider;
  /** From now on there is none, or another one. */
  readonly stopProvider: () => Promise<void>;
  readonly replaceProvider: (options: Omit<IdentityProviderOptions, 'home' | 'groups'>) => Promise<void>;
  /** Makes a dashboard, to which the requests go from now on. */
  readonly serve: (
    options?: Partial<OidcAuthenticatorOptions>,
    more?: { readonly clock?: Clock; readonly pageFolder?: string; readonly sessionKey?: string },
  ) => Dashboard;
  /** Who somebody is there, or the status of the refusal. */
  readonly sessionOf: (visitor: Visitor) => Promise<{ readonly actor: unknown; readonly role: unknown } | number>;
  /** Where somebody came to, below the address of the dashboard. */
  readonly lastOf: (visitor: Visitor) => string | undefined;
}

export function useOidcLab(): OidcLab {
  let server: Server;
  let home: string;
  let provider: IdentityProvider;
  let isProviding = false;
  let database: Database;
  const open: Dashboard[] = [];

  const lab: OidcLab = {
    get home() {
      return home;
    },
    get provider() {
      return provider;
    },
    async stopProvider() {
      if (isProviding) await provider.close();
      isProviding = false;
    },
    async replaceProvider(options) {
      await lab.stopProvider();
      provider = await startIdentityProvider({ home, groups: GROUPS, ...options });
      isProviding = true;
    },
    serve(options = {}, more = {}) {
      const authenticator = oidcAuthenticator({
        issuer: provider.issuer,
        clientId: 'basic',
        clientSecret: SECRET,
        url: home,
        roles: ROLES,
        ...options,
      });
      const dashboard = createDashboard({
        database,
        authenticators: [tokenAuthenticator([`vera:viewer:${TOKEN}`]), authenticator],
        basePath: '/ops',
        pageFolder: '/nowhere',
        ...more,
      });
      open.push(dashboard);
      server.removeAllListeners('request');
      server.on('request', dashboard.nodeHandler);
      return dashboard;
    },
    async sessionOf(visitor) {
      const { status, text } = await visitor.visit(`${home}/api/session`);
      const { actor, role } = JSON.parse(text) as Readonly<Record<string, unknown>>;
      return status === 200 ? { actor, role } : status;
    },
    lastOf: (visitor) => visitor.way.at(-1)?.slice(home.length),
  };

  beforeEach(async () => {
    server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    home = `http://127.0.0.1:${(server.address() as AddressInfo).port}/ops`;
    await lab.replaceProvider({});
    // Nobody asks it anything here.
    database = openDatabase({ url: 'postgres://nobody@127.0.0.1:1/nothing' });
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((each) => each.close()));
    server.close();
    server.closeAllConnections();
    await Promise.all([once(server, 'close'), lab.stopProvider(), database.close()]);
  });
  return lab;
}
