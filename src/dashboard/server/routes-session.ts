/**
 * The routes of logging in and out, and of who is asking.
 */
import { z } from 'zod';
import { processLook, type ApiRequest, type ApiRoute, type ProcessServices } from './api-route.ts';
import { RequestRefusal } from './failure.ts';
import { CSRF_HEADER } from './guards.ts';
import type { SessionFacts } from './contract.ts';
import { maySearchValues } from './value-search.ts';

const Login = z.strictObject({ token: z.string().min(1).max(1_000).describe('A token of the dashboard.') });

const session = processLook({
  path: '/api/session',
  isOwn: true,
  summary: 'Who is asking, and what the page must know.',
  answers: 'SessionFacts',
  handle: ({ by }, services): SessionFacts => ({
    actor: by.actor,
    role: by.role,
    canLogout: by.session !== null,
    csrfHeader: CSRF_HEADER,
    searchesValues: maySearchValues(by, services),
    ...services.facts,
  }),
});

const login: ApiRoute = {
  scope: 'process',
  method: 'POST',
  path: '/login',
  role: null,
  summary: 'Begins a session, by a cookie. Takes a form or JSON.',
  answers: '{ actor, role }',
  query: z.strictObject({}),
  body: Login,
  async handle(request, services) {
    const { facts, header, body } = request as ApiRequest<never, z.infer<typeof Login>>;
    const { sessions, askers, basePath } = services;
    // A form of a browser is answered with the page, which then finds out by itself how it went.
    const wantsPage = (header('accept') ?? '').includes('text/html');
    try {
      const who = await askers.login(body.token.trim(), facts);
      const cookie = sessions.begin(who, facts.https);
      if (wantsPage) return seeOther(`${basePath}/`, [cookie]);
      return Response.json({ actor: who.actor, role: who.role }, { headers: { 'set-cookie': cookie } });
    } catch (error) {
      if (wantsPage && error instanceof RequestRefusal) return seeOther(`${basePath}/?login=${error.status}`, []);
      throw error;
    }
  },
};

const logout: ApiRoute = {
  scope: 'process',
  method: 'POST',
  path: '/logout',
  role: null,
  summary: 'Ends the session.',
  answers: '{ done: true, next }; next: where the browser goes to log out there as well, or null',
  query: z.strictObject({}),
  body: z.unknown(),
  handle: endSession,
};

async function endSession(
  request: ApiRequest<never, never>,
  { sessions, signOn, all, basePath }: ProcessServices,
): Promise<Response> {
  const { facts, header } = request;
  const open = sessions.find(header('cookie'), facts.https);
  const cookie = sessions.end(open, facts.https);
  all.recheck();
  // A form may not lead to another site: what came from one is logged out here alone.
  if ((header('accept') ?? '').includes('text/html')) return seeOther(`${basePath}/`, [cookie]);
  const next = open?.signOn === true && signOn !== null ? await signOn.end() : null;
  return Response.json({ done: true, next }, { headers: { 'set-cookie': cookie } });
}

/** `cookies`: as the header Set-Cookie has them. */
export function seeOther(location: string, cookies: readonly string[]): Response {
  const headers = new Headers({ location });
  for (const cookie of cookies) headers.append('set-cookie', cookie);
  return new Response(null, { status: 303, headers });
}

const alive: ApiRoute = {
  scope: 'process',
  method: 'GET',
  path: '/livez',
  role: null,
  summary: 'Whether the process answers. Does not ask the database.',
  answers: "{ status: 'alive' }",
  query: z.unknown(),
  body: null,
  handle: () => ({ status: 'alive' }),
};

export const SESSION_ROUTES: readonly ApiRoute[] = [session, login, logout, alive];
