/**
 * A dashboard on a database of its own, and ways to ask it as somebody.
 */
import { afterAll, beforeAll } from 'vitest';
import { createParts, type DashboardParts } from '../../src/dashboard/server/parts.ts';
import type { DashboardOptions } from '../../src/dashboard/server/options.ts';
import type { DashboardRole } from '../../src/dashboard/server/contract.ts';
import { CSRF_HEADER } from '../../src/dashboard/server/guards.ts';
import { tokenAuthenticator } from '../../src/dashboard/server/token-authenticator.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

export const TOKENS: Readonly<Record<DashboardRole, string>> = {
  viewer: 'viewer-token-0123456789',
  operator: 'operator-token-0123456789',
  admin: 'admin-token-0123456789',
};

/** Known to the audit as Vera, Otto and Anna. */
export const authenticator = tokenAuthenticator([
  `vera:viewer:${TOKENS.viewer}`,
  `otto:operator:${TOKENS.operator}`,
  `anna:admin:${TOKENS.admin}`,
]);

export interface Asking {
  readonly method?: string;
  /** By its token; null: nobody. Default: an operator. */
  readonly as?: DashboardRole | null;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Default: some address that is not this machine. */
  readonly peer?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly json: Readonly<Record<string, unknown>>;
}

/** Asks without a network in between. */
export async function ask(parts: Pick<DashboardParts, 'fetch'>, path: string, asking: Asking = {}): Promise<Answer> {
  const { method = asking.body === undefined ? 'GET' : 'POST', as = 'operator', body, peer = '203.0.113.7' } = asking;
  const request = new Request(`http://dash.test${path}`, {
    method,
    headers: {
      ...(as === null ? {} : { authorization: `Bearer ${TOKENS[as]}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...asking.headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const response = await parts.fetch(request, { incoming: { socket: { remoteAddress: peer } } });
  const text =
    response.headers.get('content-type')?.startsWith('text/event-stream') === true ? '' : await response.text();
  const json = text.startsWith('{') ? (JSON.parse(text) as Answer['json']) : {};
  return { status: response.status, headers: response.headers, json };
}

/** What a page sends with each act. */
export const FROM_THE_PAGE: Readonly<Record<string, string>> = {
  [CSRF_HEADER]: '1',
  origin: 'http://dash.test',
  'sec-fetch-site': 'same-origin',
};

export interface DashboardLab {
  readonly database: Database;
  readonly url: string;
  /** Closed at the end. */
  open(options?: Partial<DashboardOptions>): DashboardParts;
}

export function useDashboardLab(): DashboardLab {
  let test: TestDatabase;
  let database: Database;
  const opened: DashboardParts[] = [];
  beforeAll(async () => {
    test = await createTestDatabase({ migrate: true });
    database = openDatabase({ url: test.url, max: 5 });
  });
  afterAll(async () => {
    await Promise.all(opened.splice(0).map((each) => each.close()));
    await database.close();
    await test.drop();
  });
  return {
    get database() {
      return database;
    },
    get url() {
      return test.url;
    },
    open(options = {}) {
      const parts = createParts({ database, authenticators: [authenticator], ...options });
      opened.push(parts);
      return parts;
    },
  };
}
