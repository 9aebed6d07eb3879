/**
 * The routes by which a browser goes to the identity provider and comes back. They answer with where it goes next, whatever happens.
 */
import { z } from 'zod';
import type { ApiRequest, ApiRoute, ProcessServices } from './api-route.ts';
import { RequestRefusal } from './failure.ts';
import { seeOther } from './routes-session.ts';
import { CALLBACK_PATH, SIGN_ON_PATH, type SignOnFlow } from './sign-on.ts';

const Begin = z.strictObject({
  to: z.string().max(2_000).optional().describe('The address of the page to come back to, from the slash on.'),
});
/** What a provider brings beside these is its own affair. */
const Back = z.record(z.string().max(200), z.string().max(8_000));

const begin: ApiRoute = {
  scope: 'process',
  method: 'GET',
  path: SIGN_ON_PATH,
  role: null,
  summary: 'Sends a browser to the identity provider, where there is one.',
  answers: 'A redirect',
  query: Begin,
  body: null,
  async handle(request, services) {
    const { facts, query } = request as ApiRequest<z.infer<typeof Begin>, never>;
    const { location, cookie } = await flowOf(services).begin(facts, query.to);
    return seeOther(location, cookie === null ? [] : [cookie]);
  },
};

const finish: ApiRoute = {
  scope: 'process',
  method: 'GET',
  path: CALLBACK_PATH,
  role: null,
  summary: 'Where the identity provider sends a browser back to. Begins a session, by a cookie.',
  answers: 'A redirect',
  query: Back,
  body: null,
  async handle(request, services) {
    const { facts, header, query } = request as ApiRequest<z.infer<typeof Back>, never>;
    const step = await flowOf(services).finish(facts, header('cookie'), new URLSearchParams(query));
    const { location, cookie, who } = step;
    const session = who === null ? [] : [services.sessions.begin(who, facts.https, true)];
    return seeOther(location, [...(cookie === null ? [] : [cookie]), ...session]);
  },
};

/** Throws RequestRefusal. */
function flowOf({ signOn }: ProcessServices): SignOnFlow {
  if (signOn !== null) return signOn;
  throw new RequestRefusal(400, 'HF_REQUEST', 'No identity provider is asked here.', {
    advice: 'Log in with a token, or come by way of the proxy.',
  });
}

export const SIGN_ON_ROUTES: readonly ApiRoute[] = [begin, finish];
