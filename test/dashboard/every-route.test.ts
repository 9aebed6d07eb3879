/**
 * Every route with every role and every method: what a role may do is what the table says, and nothing is there that is not in the table.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { mayAs } from '../../src/dashboard/server/authenticator.ts';
import type { DashboardRole } from '../../src/dashboard/server/contract.ts';
import { ROUTES, type DashboardParts } from '../../src/dashboard/server/parts.ts';
import { ask, FROM_THE_PAGE, TOKENS, useDashboardLab } from './server-lab.ts';

const lab = useDashboardLab();
let parts: DashboardParts;
let several: DashboardParts;
beforeAll(() => {
  parts = lab.open({ pageFolder: '/nowhere' });
  several = lab.open({
    database: undefined,
    databases: { orders: lab.database, payments: lab.database },
    pageFolder: '/nowhere',
  });
});

const NOBODY = '00000000-0000-7000-8000-000000000000';
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;
const ASKERS: readonly (DashboardRole | null)[] = [null, 'viewer', 'operator', 'admin'];
const paths = [...new Set(ROUTES.map(({ path }) => path))];

/** What a route asks for, where it is more than nothing: enough to be let in, and to fail at what is not there. */
const routeFor = (path: string, method: string) =>
  ROUTES.find((route) => route.path === path && route.method === (method === 'HEAD' ? 'GET' : method));

interface Case {
  readonly path: string;
  readonly method: string;
  readonly as: DashboardRole | null;
}

function expectedOf({ path, method, as }: Case): readonly number[] {
  const route = routeFor(path, method);
  if (path.startsWith('/api/') && as === null) return [401];
  // A view of the page may have that name; there is no page here.
  const isView = !path.startsWith('/api/') && (method === 'GET' || method === 'HEAD');
  if (route === undefined) return [isView ? 404 : 405];
  if (route.role === null) return [200, 400];
  if (as !== null && !mayAs(as, route.role)) return [403];
  // Let in: it is there or not, or wants a reason.
  return [200, 400, 404];
}

describe.each(paths)('%s', (path) => {
  const cases = METHODS.flatMap((method) => ASKERS.map((as) => ({ method, as })));

  it.each(cases)('$method as $as', async ({ method, as }) => {
    const body = method === 'GET' || method === 'HEAD' ? undefined : {};
    const { status } = await ask(parts, path.replace(':id', NOBODY), { method, as, body, headers: FROM_THE_PAGE });
    expect(expectedOf({ path, method, as })).toContain(status);
  });
});

const pathsOfOne = paths.filter((path) => ROUTES.some((route) => route.path === path && route.scope === 'database'));
const inDatabase = (path: string, name: string) => path.replace('/api/', `/api/db/${name}/`);

describe('with several databases', () => {
  it.each(paths)('%s is for whom it is for, whatever the method, and says which database is meant', async (path) => {
    const isOfOne = pathsOfOne.includes(path);
    for (const method of METHODS) {
      for (const as of ASKERS) {
        const body = method === 'GET' || method === 'HEAD' ? undefined : {};
        const askFor = async (at: string) =>
          (await ask(several, at.replace(':id', NOBODY), { method, as, body, headers: FROM_THE_PAGE })).status;
        const expected = expectedOf({ path, method, as });
        // Where somebody would be let in, it is not said to what.
        expect(isOfOne && expected.includes(200) ? [400] : expected).toContain(await askFor(path));
        if (!isOfOne) continue;
        expect(expected).toContain(await askFor(inDatabase(path, 'payments')));
        expect(expected.includes(200) ? [400, 404] : expected).toContain(await askFor(inDatabase(path, 'nothing')));
      }
    }
  });

  it('says which there are, to whom it is for', async () => {
    const { status, json } = await ask(several, '/api/runs?limit=1', { as: 'viewer' });
    expect({ status, code: json['code'], databases: json['databases'] }).toEqual({
      status: 400,
      code: 'HF_REQUEST',
      databases: ['orders', 'payments'],
    });
    expect(await ask(several, '/api/db/payment/runs', { as: 'viewer' })).toMatchObject({
      status: 404,
      json: { code: 'HF_NOT_FOUND', advice: "Did you mean 'payments'?" },
    });
  });

  it('is what the document tells', async () => {
    const { json } = await ask(several, '/api/openapi.json', { as: 'viewer' });
    const described = json['paths'] as Record<string, object>;
    const expected = paths
      .map((path) => (pathsOfOne.includes(path) ? inDatabase(path, '{database}') : path))
      .map((path) => path.replaceAll(/:(\w+)/g, '{$1}'));
    expect(Object.keys(described).toSorted()).toEqual(expected.toSorted());
    expect(described['/api/db/{database}/runs/{id}']).toMatchObject({
      get: { parameters: [{ name: 'database', schema: { enum: ['orders', 'payments'] } }, { name: 'id' }] },
    });
  });
});

it.each(pathsOfOne)('%s is there by the name of the only database, too', async (path) => {
  for (const { method } of ROUTES.filter((route) => route.path === path)) {
    const body = method === 'GET' ? undefined : {};
    const asking = { method, as: 'admin', body, headers: FROM_THE_PAGE } as const;
    const [plain, named] = await Promise.all(
      [path, inDatabase(path, 'main')].map((at) => ask(parts, at.replace(':id', NOBODY), asking)),
    );
    expect(named?.status).toBe(plain?.status);
  }
});

describe('the table', () => {
  it('lets nobody act who may only look, and nobody look who is not known', () => {
    const acts = ROUTES.filter(({ method, role }) => method === 'POST' && role !== null);
    expect(acts.length).toBeGreaterThan(8);
    expect(acts.filter(({ role }) => role === 'viewer')).toEqual([]);
    const open = ROUTES.filter(({ role }) => role === null).map(({ method, path }) => `${method} ${path}`);
    expect(open.toSorted()).toEqual([
      'GET /livez',
      'GET /login/sso',
      'GET /login/sso/callback',
      'POST /login',
      'POST /logout',
    ]);
  });

  it('has each act ask for a reason', async () => {
    const acts = ROUTES.filter(
      ({ method, role, isQuestion }) => method === 'POST' && role !== null && isQuestion !== true,
    );
    for (const { path } of acts) {
      const answer = await ask(parts, path.replace(':id', NOBODY), { as: 'admin', body: { reason: '  ' } });
      expect({ path, status: answer.status }).toEqual({ path, status: 400 });
    }
    expect(acts.filter(({ body }) => body?.safeParse({ reason: '' }).success !== false)).toEqual([]);
  });

  it('lets no act of a session pass that a page of others could have sent', async () => {
    const login = await ask(parts, '/login', { as: null, body: { token: TOKENS.admin }, headers: FROM_THE_PAGE });
    const cookie = login.headers.get('set-cookie')?.split(';')[0] ?? '';
    expect((await ask(parts, '/api/session', { as: null, headers: { cookie } })).json).toMatchObject({
      actor: 'anna',
      role: 'admin',
      canLogout: true,
    });
    for (const { path, method } of ROUTES.filter((route) => route.method === 'POST')) {
      for (const headers of [
        { cookie },
        { cookie, origin: 'http://dash.test' },
        { cookie, ...FROM_THE_PAGE, origin: 'http://evil.test' },
        { cookie, ...FROM_THE_PAGE, 'sec-fetch-site': 'cross-site' },
      ]) {
        const asking = { method, as: null, body: { reason: 'x' }, headers };
        const { status, json } = await ask(parts, path.replace(':id', NOBODY), asking);
        expect({ path, headers, status, code: json['code'] }).toEqual({
          path,
          headers,
          status: 403,
          code: 'HF_REQUEST',
        });
      }
    }
  });

  it('is all there is', async () => {
    for (const path of ['/api', '/api/', '/api/nothing', '/api/runs/', '/api/runs/x/y/z', '/api/../api/nothing']) {
      const [known, unknown] = await Promise.all([ask(parts, path), ask(parts, path, { as: null })]);
      expect({ path, status: known.status }).toEqual({ path, status: 404 });
      expect([401, 404]).toContain(unknown.status);
    }
  });

  it('is what the document tells', async () => {
    const { status, json } = await ask(parts, '/api/openapi.json', { as: 'viewer' });
    expect(status).toBe(200);
    const described = Object.entries(
      json['paths'] as Record<string, Record<string, { 'x-role': string | null }>>,
    ).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, each]) => `${method.toUpperCase()} ${path} ${each['x-role']}`),
    );
    const known = ROUTES.map(({ method, path, role }) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')} ${role}`);
    expect(described.toSorted()).toEqual(known.toSorted());
    const { parameters } = (json['paths'] as Record<string, Record<string, { parameters: { name: string }[] }>>)[
      '/api/messages'
    ]!['get']!;
    expect(parameters.map(({ name }) => name).join(' ')).toBe(
      'topic key id correlation cause since until payload headers cursor limit lookFor',
    );
  });
});

it('every answer bears what keeps browsers from misusing it', async () => {
  for (const [path, as] of [
    ['/api/session', 'viewer'],
    ['/api/session', null],
    ['/api/nothing', 'viewer'],
    ['/livez', null],
    ['/', null],
  ] as const) {
    const { headers } = await ask(parts, path, { as });
    expect(headers.get('content-security-policy')).toMatch(/default-src 'none'.*frame-ancestors 'none'/);
    expect(headers.get('content-security-policy')).not.toMatch(/unsafe|\*/);
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('referrer-policy')).toBe('no-referrer');
    if (path.startsWith('/api')) expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('access-control-allow-origin')).toBeNull();
  }
});
