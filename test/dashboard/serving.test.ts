/** The dashboard over real connections: mounted in other servers, logged in to, live, and asked badly. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAdaptorServer } from '@hono/node-server';
import { Hono } from 'hono';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createDashboard, type Dashboard, type DashboardOptions } from '../../src/dashboard/dashboard.ts';
import { createDashboardServer } from '../../src/dashboard/server/http-server.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';
import { withSeams } from '../../src/testing/seams.ts';
import type { Logger } from '../../src/runtime/log.ts';
import { eventually } from '../support/eventually.ts';
import { authenticator, TOKENS, useDashboardLab } from './server-lab.ts';

const lab = useDashboardLab();
const closing: (() => Promise<unknown>)[] = [];
let pageFolder: string;
beforeAll(async () => {
  pageFolder = await mkdtemp(join(tmpdir(), 'holdfast-page-'));
  await mkdir(join(pageFolder, 'assets'));
  await writeFile(
    join(pageFolder, 'index.html'),
    '<!doctype html><html><head lang="en"><title>x</title></head></html>',
  );
  await writeFile(join(pageFolder, 'assets', 'main-Ab3dEf9h.js'), 'console.log(1);'.repeat(200));
  await writeFile(join(pageFolder, 'assets', 'main-Ab3dEf9h.js.map'), '{}');
});
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});
afterAll(() => rm(pageFolder, { recursive: true, force: true }));

function openDashboard(options: Partial<DashboardOptions> = {}): Dashboard {
  const dashboard = createDashboard({
    database: lab.database,
    authenticators: [authenticator],
    pageFolder,
    ...options,
  });
  closing.push(() => dashboard.close());
  return dashboard;
}

async function serve(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  return `http://localhost:${(server.address() as AddressInfo).port}`;
}

const byToken = { headers: { authorization: `Bearer ${TOKENS.operator}` } };
const urlOf = async (handler: RequestListener): Promise<string> => serve(createServer(handler));

describe('mounted', () => {
  /** As Express does: what is mounted sees the path below its mount. */
  const stripping =
    (base: string, dashboard: Dashboard): RequestListener =>
    (request, response) => {
      if (!(request.url ?? '').startsWith(base)) return void response.writeHead(404).end();
      request.url = (request.url ?? '').slice(base.length) || '/';
      dashboard.nodeHandler(request, response);
    };
  const ways: Readonly<Record<string, (dashboard: Dashboard) => Promise<string>>> = {
    'in hono': (dashboard) => {
      const app = new Hono();
      app.mount('/ops/holdfast', dashboard.fetch);
      return serve(createAdaptorServer({ fetch: app.fetch }) as Server);
    },
    'in node:http, whole (and so in Fastify)': (dashboard) => urlOf(dashboard.nodeHandler),
    'in node:http, below a path (and so in Express)': (dashboard) => urlOf(stripping('/ops/holdfast', dashboard)),
  };

  it.each(Object.entries(ways))('%s it answers below its base', async (_, mount) => {
    const url = `${await mount(openDashboard({ basePath: '/ops/holdfast' }))}/ops/holdfast`;
    const session = await fetch(`${url}/api/session`, byToken);
    expect(await session.json()).toMatchObject({ actor: 'otto', role: 'operator', schema: 'holdfast' });
    const messages = await fetch(`${url}/api/messages?limit=1`, byToken);
    expect(await messages.json()).toMatchObject({ items: [], older: null, looked: { complete: true } });
    for (const path of ['', '/', '/runs/some-view?status=stuck']) {
      const page = await fetch(`${url}${path}`);
      expect(await page.text()).toContain('<head lang="en"><base href="/ops/holdfast/">');
      expect(page.headers.get('cache-control')).toBe('no-cache');
    }
    const act = await fetch(`${url}/api/runs/00000000-0000-7000-8000-000000000000/cancel`, {
      method: 'POST',
      headers: { ...byToken.headers, 'content-type': 'application/json' },
      body: JSON.stringify({ reason: 'x' }),
    });
    expect(act.status).toBe(404);
  });

  it('says so when somebody has read the body before', async () => {
    const dashboard = openDashboard();
    const url = await urlOf((request, response) => {
      request.resume().once('end', () => dashboard.nodeHandler(request, response));
    });
    const act = await fetch(`${url}/api/parked/retry`, {
      method: 'POST',
      headers: { ...byToken.headers, 'content-type': 'application/json' },
      body: '{}',
    });
    expect(await act.json()).toMatchObject({ code: 'HF_REQUEST', advice: expect.stringMatching(/parses bodies/) });
  });

  it('leaves Request and Response of the process alone', async () => {
    const [request, response] = [globalThis.Request, globalThis.Response];
    await fetch(`${await urlOf(openDashboard().nodeHandler)}/livez`);
    expect(globalThis.Request).toBe(request);
    expect(globalThis.Response).toBe(response);
  });
});

describe('the files of the page', () => {
  it('are packed, kept by browsers when their names are made from them, and no others are there', async () => {
    const url = await urlOf(openDashboard().nodeHandler);
    const script = await fetch(`${url}/assets/main-Ab3dEf9h.js`, { headers: { 'accept-encoding': 'gzip, br' } });
    expect(script.headers.get('cache-control')).toMatch(/immutable/);
    expect(script.headers.get('content-type')).toMatch(/javascript/);
    expect(script.headers.get('content-encoding')).toBe('br');
    expect(await script.text()).toHaveLength(3_000);
    const again = await fetch(`${url}/assets/main-Ab3dEf9h.js`, {
      headers: { 'if-none-match': script.headers.get('etag') ?? '' },
    });
    expect(again.status).toBe(304);
    for (const path of ['/assets/main-Ab3dEf9h.js.map', '/assets/gone-12345678.js']) {
      const { status, headers } = await fetch(`${url}${path}`);
      expect({ path, isScript: headers.get('content-type')?.includes('javascript') }).toEqual({
        path,
        isScript: false,
      });
      expect([200, 404]).toContain(status);
    }
    for (const path of ['/..%2f..%2f..%2fetc/passwd', '/assets/..%2f..%2fpackage.json', '/%2e%2e/%2e%2e/etc/passwd']) {
      const text = await (await fetch(`${url}${path}`)).text();
      expect(text).not.toMatch(/root:|holdfast"/);
    }
  });
});

describe('a login', () => {
  it('by the form gives a session, and the logout ends it, and what is live by it', async () => {
    const url = await urlOf(openDashboard().nodeHandler);
    const form = new URLSearchParams({ token: TOKENS.operator });
    const page = { accept: 'text/html', origin: url };
    const login = await fetch(`${url}/login`, { method: 'POST', body: form, headers: page, redirect: 'manual' });
    expect(login.status).toBe(303);
    expect(login.headers.get('location')).toBe('/');
    const set = login.headers.get('set-cookie') ?? '';
    expect(set).toMatch(/; HttpOnly; SameSite=Strict$/);
    const cookie = set.split(';')[0] ?? '';
    const live = await fetch(`${url}/api/live`, { headers: { cookie } });
    expect(live.status).toBe(200);
    const text = live.text();
    const logout = await fetch(`${url}/logout`, { method: 'POST', headers: { cookie, 'x-holdfast-csrf': '1' } });
    expect(await logout.json()).toEqual({ done: true, next: null });
    expect(await text).toMatch(/event: end\ndata: \{"why":"session"\}\n\n$/);
    const after = await fetch(`${url}/api/session`, { headers: { cookie } });
    expect(after.status).toBe(401);
    expect(await after.json()).toMatchObject({ code: 'HF_LOGIN', form: true });
  });

  it('that fails leads back to the page, and is limited', async () => {
    const url = await urlOf(openDashboard().nodeHandler);
    const wrong = () =>
      fetch(`${url}/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-holdfast-csrf': '1' },
        body: JSON.stringify({ token: 'a-wrong-token-012345' }),
      });
    const back = await fetch(`${url}/login`, {
      method: 'POST',
      body: new URLSearchParams({ token: 'wrong' }),
      headers: { accept: 'text/html', origin: url },
      redirect: 'manual',
    });
    expect(back.headers.get('location')).toBe('/?login=401');
    const statuses = [];
    for (let tries = 0; tries < 10; tries += 1) statuses.push((await wrong()).status);
    expect(statuses).toEqual([...Array.from({ length: 9 }, () => 401), 429]);
    const refused = await fetch(`${url}/api/session`, byToken);
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  });
});

describe('whoever sits at the machine', () => {
  it('is let in without a login where that was asked for, and nobody else is', async () => {
    const dashboard = openDashboard({ authenticators: [], anonymous: 'admin' });
    const url = await urlOf(dashboard.nodeHandler);
    expect(await (await fetch(`${url}/api/session`)).json()).toMatchObject({ actor: 'anonymous', role: 'admin' });
    const { port } = new URL(url);
    const at = async (headers: string) =>
      (await raw(Number(port), `GET /api/session HTTP/1.1\r\n${headers}\r\n`)).split(' ')[1];
    expect(await at('Host: localhost\r\nConnection: close\r\n')).toBe('200');
    // A name of somebody else that was made to point here.
    expect(await at('Host: evil.test\r\nConnection: close\r\n')).toBe('421');
    // A proxy on this machine passes on who sits elsewhere.
    expect(await at('Host: localhost\r\nX-Forwarded-For: 203.0.113.9\r\nConnection: close\r\n')).toBe('401');
    const elsewhere = await dashboard.fetch(new Request('http://localhost/api/session'), {
      incoming: { socket: { remoteAddress: '203.0.113.9' } },
    });
    expect(elsewhere.status).toBe(401);
    expect((await dashboard.fetch(new Request('http://localhost/api/session'))).status).toBe(401);
    const act = await fetch(`${url}/api/parked/retry`, { method: 'POST', body: '{}' });
    expect(act.status).toBe(403);
  });

  it('cannot play the proxy by way of a page of others', async () => {
    const { proxyAuthenticator } = await import('../../src/dashboard/dashboard.ts');
    const proxy = proxyAuthenticator({ from: ['127.0.0.1'], everybody: 'admin' });
    const url = await urlOf(openDashboard({ authenticators: [proxy], hosts: ['ops.example.com'] }).nodeHandler);
    const port = Number(new URL(url).port);
    const at = async (host: string) =>
      (
        await raw(
          port,
          `GET /api/session HTTP/1.1\r\nHost: ${host}\r\nX-Forwarded-User: ada\r\nConnection: close\r\n\r\n`,
        )
      ).split(' ')[1];
    expect(await at('ops.example.com')).toBe('200');
    expect(await at('evil.test')).toBe('421');
  });
});

describe('live', () => {
  it('tells all pages the same, read once, and reads no more when they have gone', async () => {
    const clock = createManualClock();
    const options = { database: lab.database, authenticators: [authenticator], pageFolder };
    const dashboard = createDashboard(withSeams(options, { clock }));
    closing.push(() => dashboard.close());
    const url = await urlOf(dashboard.nodeHandler);
    const pages = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const controller = new AbortController();
        const response = await fetch(`${url}/api/live`, { ...byToken, signal: controller.signal });
        return { controller, events: eventsOf(response) };
      }),
    );
    const first = await Promise.all(pages.map(({ events }) => nextEvent(events, 'overview')));
    expect(new Set(first).size).toBe(1);
    await clock.advance('2s');
    const second = await Promise.all(pages.map(({ events }) => nextEvent(events, 'overview')));
    expect(new Set(second).size).toBe(1);
    expect(second[0]).not.toBe(first[0]);
    for (const { controller } of pages) controller.abort();
    await eventually('the reader to rest', async () => {
      await clock.advance('10s');
      return clock.sleeping === 0;
    });
  });

  it('needs no stream for its head', async () => {
    const url = await urlOf(openDashboard().nodeHandler);
    const head = await fetch(`${url}/api/live`, { method: 'HEAD', ...byToken });
    expect(head.status).toBe(200);
  });
});

describe('asked badly', () => {
  const log: Logger = { debug() {}, info: (fields) => void told.push(fields), warn() {}, error() {}, child: () => log };
  const told: object[] = [];
  async function start(): Promise<number> {
    const handler = openDashboard().nodeHandler;
    const server = createDashboardServer({
      handler,
      host: '127.0.0.1',
      port: 0,
      basePath: '',
      log,
      limits: { headersTimeout: 300, requestTimeout: 600, connectionsCheckingInterval: 100 },
    });
    await server.start();
    closing.push(() => server.stop());
    return Number(new URL((told.at(-1) as { url: string }).url).port);
  }

  it('answers what it can, and cuts what never ends', async () => {
    const port = await start();
    const auth = `Host: localhost\r\nAuthorization: Bearer ${TOKENS.operator}\r\n`;
    expect(await raw(port, 'nonsense\r\n\r\n')).toMatch(/^HTTP\/1\.1 400/);
    expect(await raw(port, 'GET / HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n')).toMatch(/^HTTP\/1\.1 4/);
    expect(await raw(port, `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 431/,
    );
    // Headers that never end, and a body that never comes.
    expect(await raw(port, 'GET / HTTP/1.1\r\nHost: localhost\r\n')).toMatch(/^HTTP\/1\.1 408|^$/);
    const act = `POST /api/parked/retry HTTP/1.1\r\n${auth}Content-Type: application/json\r\n`;
    expect(await raw(port, `${act}Content-Length: 100\r\n\r\n{`)).toMatch(/^HTTP\/1\.1 408|^$/);
    // One that says that it is too large is refused before it has come.
    expect(await raw(port, `${act}Content-Length: 99999999\r\n\r\n{`)).toMatch(/^HTTP\/1\.1 413/);
    expect(await raw(port, `${act}Content-Length: 2\r\nConnection: close\r\n\r\n[]`)).toMatch(/^HTTP\/1\.1 400/);
    expect(await raw(port, `GET /livez HTTP/1.1\r\nHost: 10.1.2.3:80\r\nConnection: close\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 200/,
    );
  });
});

/** What comes back until the other side closes. */
function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    socket.setEncoding('utf8').on('data', (part: string) => (answer += part));
    socket.on('close', () => resolve(answer));
    socket.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ECONNRESET' ? resolve(answer) : reject(error),
    );
  });
}

async function* eventsOf(response: Response): AsyncGenerator<string> {
  let rest = '';
  const decoder = new TextDecoder();
  for await (const part of response.body as unknown as AsyncIterable<Uint8Array>) {
    const events = (rest + decoder.decode(part, { stream: true })).split('\n\n');
    rest = events.pop() ?? '';
    yield* events;
  }
}

async function nextEvent(events: AsyncGenerator<string>, name: string): Promise<string> {
  for (;;) {
    const { value, done } = await events.next();
    if (done === true) throw new Error('The stream has ended.');
    if (value.startsWith(`event: ${name}\n`)) return value;
  }
}
