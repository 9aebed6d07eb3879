/**
 * `holdfast/dashboard`: the dashboard's server, to be mounted in a server of one's own. `holdfast dashboard` runs it by itself.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { failureOf, RequestRefusal } from './server/failure.ts';
import { SECURITY_HEADERS } from './server/guards.ts';
import type { DashboardOptions } from './server/options.ts';
import { createParts } from './server/parts.ts';

export type { DashboardAlerts } from './server/alerts-view.ts';
export type { AuthenticationRequest, Authenticator, Principal, SignOn } from './server/authenticator.ts';
export type { AlertChannel, DashboardRole } from './server/contract.ts';
export { oidcAuthenticator } from './server/oidc-authenticator.ts';
export type { OidcAuthenticatorOptions } from '../operations/oidc-settings.ts';
export type { DashboardOptions } from './server/options.ts';
export { proxyAuthenticator, type ProxyAuthenticatorOptions } from './server/proxy-authenticator.ts';
export { tokenAuthenticator } from './server/token-authenticator.ts';

/** The dashboard, as a part of a server. See {@link createDashboard}. */
export interface Dashboard {
  /** For hono and whatever speaks fetch. `env` is what the adapter for Node hands on: by it the address of who asks is known. */
  readonly fetch: (request: Request, env?: unknown) => Promise<Response>;
  /** For Express, Fastify and node:http. */
  readonly nodeHandler: (request: IncomingMessage, response: ServerResponse) => void;
  /** Ends open pages and the connections of its own. What is under way is finished. */
  close(): Promise<void>;
}

/**
 * The dashboard's server: its page, and the service API below /api. Before the first request it only looks for jobs that a
 * dashboard before it handed over, or whose process died, and goes on with them.
 *
 * @throws HoldfastError HF_CONFIG without a way to know who asks and for what cannot be used, HF_OPTION_UNKNOWN, HF_DURATION
 * @example
 * import { createServer } from 'node:http';
 *
 * const dashboard = createDashboard({
 *   database: openDatabase({ url: process.env['DATABASE_URL'] }),
 *   authenticators: [tokenAuthenticator([process.env['OPS_TOKEN'] ?? ''])],
 *   basePath: '/ops/holdfast',
 * });
 * createServer(dashboard.nodeHandler).listen(8080, '127.0.0.1');
 */
export function createDashboard(options: DashboardOptions): Dashboard {
  const { fetch, close } = createParts(options);
  const listener = getRequestListener((request, env) => fetch(request, env), {
    // What else runs in the process keeps its own Request and Response.
    overrideGlobalObjects: false,
    errorHandler: unreadable,
  });
  return { fetch, nodeHandler: (request, response) => void listener(request, response), close };
}

/** What is no request at all, such as one with a header Host that cannot be read. */
function unreadable(): Response {
  const refusal = new RequestRefusal(400, 'HF_REQUEST', 'The request cannot be read.');
  return Response.json(failureOf(refusal).body, { status: 400, headers: SECURITY_HEADERS });
}
