/**
 * The dashboard's server as one function from requests to answers: the table of routes, and around it what every request must pass.
 */
import { Hono, type Context } from 'hono';
import { altersNumbers } from '../../message/exact-json.ts';
import type { Logger } from '../../runtime/log.ts';
import type { AddressList } from './addresses.ts';
import {
  checked,
  NEVER_ABORTED,
  type ApiRequest,
  type ApiRoute,
  type ApiServices,
  type AskedRequest,
  type ProcessServices,
} from './api-route.ts';
import { mayAs } from './authenticator.ts';
import { parseJson, readBody, readForm } from './body.ts';
import type { DashboardRole } from './contract.ts';
import { failureOf, RequestRefusal } from './failure.ts';
import { checkForgery, checkHost, SECURITY_HEADERS } from './guards.ts';
import { factsOf, type RequestFacts } from './request-facts.ts';
import { createSharedLooks } from './shared-looks.ts';
import { commandFor, databaseFor, pathInDatabase } from './which-database.ts';
import type { StaticPage } from './static-page.ts';
import type { Asker } from './who-asks.ts';

/** What Node's adapter hands on beside the request. */
interface NodeBindings {
  readonly incoming?: { readonly socket?: { readonly remoteAddress?: string; readonly encrypted?: boolean } };
}

interface AppTypes {
  Bindings: NodeBindings;
  Variables: { facts: RequestFacts };
}

type AppContext = Context<AppTypes>;

export interface AppOptions {
  readonly routes: readonly ApiRoute[];
  readonly process: ProcessServices;
  /** By the names of the databases. */
  readonly databases: ReadonlyMap<string, ApiServices>;
  readonly page: StaticPage | null;
  readonly trustedProxies: AddressList;
  readonly hosts: ReadonlySet<string>;
  readonly log: Logger;
}

/** Tells nothing to anybody. */
const PROBE = '/livez';

export type Fetch = (request: Request, env?: unknown) => Promise<Response>;

const MOST_BODY_BYTES = 1_048_576;
const MOST_LOGIN_BYTES = 8_192;
/** More at once would only wait for the few connections. Open pages do not count. */
const MOST_AT_ONCE = 100;

export function createApp({ routes, process, databases, page, trustedProxies, hosts, log }: AppOptions): Fetch {
  const { basePath } = process;
  const { whoAsks, answer } = createGate(process, databases);
  const app = new Hono<AppTypes>({ getPath: (request) => pathBelow(request.url, basePath) });
  const limited = limitedAtOnce(MOST_AT_ONCE);

  app.use('*', async (context, next) => {
    const facts = factsOf(rawOf(context), trustedProxies);
    context.set('facts', facts);
    // Probes call it by its address.
    if (context.req.path !== PROBE) checkHost(facts, hosts);
    await next();
  });

  for (const [path, ofPath] of byAddress(routes)) {
    for (const route of ofPath) app.on(route.method, path, (context) => limited(() => answer(context, route)));
    app.all(path, async (context, next) => {
      const { method } = context.req.raw;
      if (path.startsWith('/api/')) await whoAsks(context);
      // The page may have a view of that name.
      else if (method === 'GET' || method === 'HEAD') return next();
      throw wrongMethod(
        method,
        ofPath.map((route) => route.method),
      );
    });
  }
  app.all('/api/*', async (context) => {
    await whoAsks(context);
    throw new RequestRefusal(404, 'HF_NOT_FOUND', 'There is no such path.', { advice: 'See /api/openapi.json.' });
  });
  app.on(['GET', 'HEAD'], '*', async (context) => {
    const found = (await page?.answer(pathBelow(context.req.url, basePath), headerOf(context))) ?? null;
    if (found !== null) return found;
    const message = page === null ? 'The page is not part of this installation.' : 'There is no such file.';
    throw new RequestRefusal(404, 'HF_NOT_FOUND', message, { advice: 'The service API is below /api.' });
  });
  app.all('*', (context) => {
    throw wrongMethod(context.req.raw.method, ['GET']);
  });

  app.onError((error, context) => {
    const { status, body, headers, isOurs } = failureOf(error);
    const path = pathBelow(context.req.url, basePath);
    if (isOurs) log.warn({ err: error, method: context.req.method, path }, 'a request to the dashboard failed');
    return Response.json(body, { status, headers });
  });

  return async (request, env) => {
    const response = await app.fetch(request, env ?? {});
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) response.headers.set(name, value);
    if (!response.headers.has('cache-control')) response.headers.set('cache-control', 'no-store');
    return response;
  };
}

interface Gate {
  /** Rejects with RequestRefusal for whom it does not know. */
  readonly whoAsks: (context: AppContext) => Promise<Asker>;
  /** What the route says, to who may ask it. Rejects with RequestRefusal. */
  readonly answer: (context: AppContext, route: ApiRoute) => Promise<Response>;
}

function createGate(process: ProcessServices, databases: ReadonlyMap<string, ApiServices>): Gate {
  const { askers, signOn } = process;
  const looks = createSharedLooks();
  async function whoAsks(context: AppContext): Promise<Asker> {
    const asker = await askers.find({ facts: context.get('facts'), header: headerOf(context) });
    if (asker !== null) return asker;
    throw new RequestRefusal(401, 'HF_LOGIN', 'It is not known who asks.', {
      advice: askers.hasForm
        ? 'Log in, or send a token as `Authorization: Bearer`.'
        : signOn === null
          ? 'Come by way of the proxy.'
          : 'Log in.',
      facts: { form: askers.hasForm, signOn: signOn?.label ?? null },
    });
  }

  async function answer(context: AppContext, route: ApiRoute): Promise<Response> {
    const by = route.role === null ? null : await whoAsks(context);
    if (by !== null && route.role !== null && !mayAs(by.role, route.role)) {
      throw new RequestRefusal(403, 'HF_ROLE', `A ${by.role} may not do this: it takes the role ${route.role}.`);
    }
    const header = headerOf(context);
    const facts = context.get('facts');
    const type = (header('content-type') ?? '').toLowerCase();
    const isForm = route.role === null && type.startsWith('application/x-www-form-urlencoded');
    if (by?.ambient !== false) checkForgery({ method: route.method, facts, header, isForm });
    const request: ApiRequest<unknown, unknown> = {
      id: context.req.param('id') ?? '',
      query: checked(route.query, queryOf(context.req.url), 'The query'),
      body: route.body === null ? null : checked(route.body, await bodyOf(context, route, type), 'The body'),
      facts,
      header,
      signal: context.req.raw.signal,
    };
    if (route.role === null) return asResponse(await route.handle(request as ApiRequest<never, never>, process));
    const asked = { ...request, by } as AskedRequest<never, never>;
    const { name, handle } = bound(context, route);
    // A look at the head of what never ends.
    if (context.req.raw.method === 'HEAD' && route.isStream === true) return new Response(null);
    if (route.method === 'GET' && route.isOwn !== true) {
      const question = JSON.stringify([route.path, name, by?.role, request.id, request.query]);
      const text = await looks.answer(question, () => handle({ ...asked, signal: NEVER_ABORTED }));
      return new Response(text, { headers: JSON_TYPE });
    }
    try {
      return asResponse(databases.size === 1 ? await handle(asked) : commandFor(name, await handle(asked)));
    } finally {
      if (route.method !== 'GET' && route.isQuestion !== true) looks.forget();
    }
  }

  /** The route with what it works with, and the name of its database; null: it is about no one. Throws RequestRefusal. */
  function bound(context: AppContext, route: ApiRoute & { readonly role: DashboardRole }): Bound {
    if (route.scope === 'process') return { name: null, handle: (asked) => route.handle(asked, process) };
    const services = databaseFor(databases, context.req.param('database') ?? null, route.path);
    return { name: services.name, handle: (asked) => route.handle(asked, services) };
  }

  return { whoAsks, answer };
}

interface Bound {
  readonly name: string | null;
  readonly handle: (asked: AskedRequest<never, never>) => unknown;
}

const JSON_TYPE = { 'content-type': 'application/json' };

function asResponse(result: unknown): Response {
  return result instanceof Response ? result : Response.json(result);
}

/** What is spelled out before what has a part that is any: '/api/parked/retry' is no message. Pure. */
function byAddress(routes: readonly ApiRoute[]): readonly (readonly [string, readonly ApiRoute[]])[] {
  const paths = [...new Set(routes.map(({ path }) => path))];
  const spelledOut = paths.filter((path) => !path.includes(':'));
  const others = paths.filter((path) => path.includes(':'));
  return [...spelledOut, ...others].flatMap((path) => {
    const ofPath = routes.filter((route) => route.path === path);
    const isOfDatabase = ofPath.some(({ scope }) => scope === 'database');
    return [path, ...(isOfDatabase ? [pathInDatabase(path, ':database')] : [])].map((at) => [at, ofPath] as const);
  });
}

/** An answer that goes on, as that of /api/live, is done as soon as it has begun. */
function limitedAtOnce(most: number): (work: () => Promise<Response>) => Promise<Response> {
  let under = 0;
  return async (work) => {
    if (under >= most) {
      throw new RequestRefusal(503, 'HF_OVERLOADED', `${most} requests are under way already.`, {
        advice: 'Try again in a moment.',
        headers: { 'retry-after': '1' },
      });
    }
    under += 1;
    try {
      return await work();
    } finally {
      under -= 1;
    }
  };
}

function rawOf(context: AppContext): Parameters<typeof factsOf>[0] {
  const socket = context.env.incoming?.socket;
  return {
    peer: socket?.remoteAddress ?? null,
    encrypted: socket?.encrypted ?? context.req.url.startsWith('https:'),
    urlHost: new URL(context.req.url).host,
    header: headerOf(context),
  };
}

function headerOf(context: AppContext): (name: string) => string | null {
  return (name) => context.req.raw.headers.get(name);
}

/**
 * The path below the base, with a slash first. What has mounted us may have taken the base away already (hono and Express do, Fastify does
 * not). Pure.
 */
export function pathBelow(url: string, basePath: string): string {
  const { pathname } = new URL(url);
  if (basePath === '' || !`${pathname}/`.startsWith(`${basePath}/`)) return pathname;
  return pathname.slice(basePath.length) || '/';
}

/** What is given several times is a list, divided by commas. Pure. */
function queryOf(url: string): Readonly<Record<string, string>> {
  const { searchParams } = new URL(url);
  return Object.fromEntries(
    [...new Set(searchParams.keys())].map((name) => [name, searchParams.getAll(name).join(',')]),
  );
}

/** Rejects with RequestRefusal. */
async function bodyOf(context: AppContext, { role }: ApiRoute, type: string): Promise<unknown> {
  const text = await readBody(context.req.raw, role === null ? MOST_LOGIN_BYTES : MOST_BODY_BYTES);
  if (role === null) return readForm(text, type);
  if (text !== '' && !type.startsWith('application/json')) {
    throw new RequestRefusal(415, 'HF_REQUEST', 'The body is not said to be JSON.', {
      advice: 'Send JSON, with `content-type: application/json`.',
    });
  }
  const value = parseJson(text);
  if (!altersNumbers(text)) return value;
  throw new RequestRefusal(400, 'HF_REQUEST', 'The body holds a number that JavaScript would alter.', {
    advice: 'Give such a number as a text, in quotes.',
  });
}

function wrongMethod(method: string, allow: readonly string[]): RequestRefusal {
  return new RequestRefusal(405, 'HF_REQUEST', `The path is not there for ${method}.`, {
    advice: `It is for ${allow.join(' and ')}.`,
    headers: { allow: allow.join(', ') },
  });
}
