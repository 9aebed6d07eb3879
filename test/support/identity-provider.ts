/**
 * A real OpenID provider in the process of the tests, and a visitor who logs in there as a browser would, but for scripts.
 */
import { generateKeyPairSync, sign } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface IdentityProvider {
  readonly issuer: string;
  /** Path and query of each request. */
  readonly asked: readonly string[];
  close(): Promise<void>;
}

export interface IdentityProviderOptions {
  /** Of the dashboard. */
  readonly home: string;
  /** Groups by login. */
  readonly groups: Readonly<Record<string, readonly string[]>>;
  /** Further settings of the package. */
  readonly more?: object;
  /** How long the answer with the tokens is on its way, in milliseconds. */
  readonly tokensTakeMs?: number;
  /** Makes another ID token of its claims, on the way. */
  readonly forge?: (claims: TokenClaims) => string;
}

/** What an ID token says. */
export type TokenClaims = Readonly<Record<string, unknown>>;

/** Who signs tokens. */
export interface TokenSigner {
  /** What a provider has to have among its settings, to sign with it. */
  readonly jwks: { readonly keys: readonly object[] };
  /** As the provider signs; `alg` 'none': not at all. */
  sign(claims: TokenClaims, alg?: 'RS256' | 'none'): string;
}

export function createTokenSigner(): TokenSigner {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return {
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'of-the-tests', alg: 'RS256', use: 'sig' }] },
    sign(claims, alg = 'RS256') {
      const text = `${part({ alg, kid: 'of-the-tests', typ: 'JWT' })}.${part(claims)}`;
      return `${text}.${alg === 'none' ? '' : sign('sha256', Buffer.from(text), privateKey).toString('base64url')}`;
    },
  };
}

export const SECRET = 'secret-of-the-dashboard';

/** Knows everybody, as LOGIN@example.com; 'mallory' has not verified her address. Clients: basic, post, public. */
export async function startIdentityProvider(options: IdentityProviderOptions): Promise<IdentityProvider> {
  const { home, groups, more = {}, tokensTakeMs = 0, forge } = options;
  const { default: Provider } = await import('oidc-provider');
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // By another name than the dashboard's: to browsers it is another site.
  const issuer = `http://localhost:${(server.address() as AddressInfo).port}`;
  const client = (id: string, authentication: object) => ({
    client_id: id,
    redirect_uris: [`${home}/login/sso/callback`],
    post_logout_redirect_uris: [`${home}/`],
    grant_types: ['authorization_code'],
    response_types: ['code'],
    ...authentication,
  });
  const provider = new Provider(issuer, {
    clients: [
      client('basic', { client_secret: SECRET }),
      client('post', { client_secret: SECRET, token_endpoint_auth_method: 'client_secret_post' }),
      client('public', { token_endpoint_auth_method: 'none' }),
    ],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'groups', 'realm_access'] },
    findAccount: (_context: unknown, login: string) => ({
      accountId: login,
      claims: () => ({
        sub: login,
        email: `${login}@example.com`,
        email_verified: login !== 'mallory',
        groups: groups[login] ?? [],
        realm_access: { roles: groups[login] ?? [] },
      }),
    }),
    pkce: { required: () => true },
    cookies: { keys: ['of the tests'] },
    ...more,
  });
  const asked: string[] = [];
  const answer = provider.callback();
  server.on('request', (request, response) => {
    asked.push(request.url ?? '');
    if (request.url === '/token') {
      const end = response.end.bind(response) as (text: string) => typeof response;
      response.end = ((given: unknown) => {
        const text = forge === undefined ? String(given) : withForged(String(given), forge);
        response.setHeader('content-length', Buffer.byteLength(text));
        setTimeout(() => end(text), tokensTakeMs);
        return response;
      }) as typeof response.end;
    }
    answer(request, response);
  });
  return {
    issuer,
    asked,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

/** Refusals of the provider have no token. */
function withForged(answer: string, forge: (claims: TokenClaims) => string): string {
  const { id_token: token, ...rest } = JSON.parse(answer) as Readonly<Record<string, unknown>>;
  if (typeof token !== 'string') return answer;
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as TokenClaims;
  return JSON.stringify({ ...rest, id_token: forge(claims) });
}

/** Where a visitor stands. */
export interface Visited {
  readonly url: URL;
  readonly status: number;
  readonly text: string;
}

/** Keeps cookies, follows redirects, and fills in the forms of the provider. */
export interface Visitor {
  readonly cookies: Map<string, string>;
  /** Every address on the way, the last one too. */
  readonly way: string[];
  visit(url: string | URL, form?: Readonly<Record<string, string>>): Promise<Visited>;
  /** To the provider and through its forms, up to where it sends one. `stop`: an address that is not asked for any more. */
  logIn(url: string, login: string, stop?: (url: URL) => boolean): Promise<Visited>;
}

export function createVisitor(): Visitor {
  /** By host and name; paths are not minded. */
  const cookies = new Map<string, string>();
  const way: string[] = [];

  async function ask(url: URL, form: Readonly<Record<string, string>> | undefined): Promise<Response> {
    const own = [...cookies].filter(([key]) => key.startsWith(`${url.host} `));
    const response = await fetch(url, {
      redirect: 'manual',
      headers: { cookie: own.map(([key, value]) => `${key.slice(url.host.length + 1)}=${value}`).join('; ') },
      ...(form === undefined ? {} : { method: 'POST', body: new URLSearchParams(form) }),
    });
    for (const each of response.headers.getSetCookie()) {
      const [pair = ''] = each.split(';');
      const at = pair.indexOf('=');
      const key = `${url.host} ${pair.slice(0, at)}`;
      const isGone = at === pair.length - 1 || /max-age=0|expires=thu, 01 jan 1970/i.test(each);
      if (isGone) cookies.delete(key);
      else cookies.set(key, pair.slice(at + 1));
    }
    return response;
  }

  async function go(
    given: string | URL,
    form: Readonly<Record<string, string>> | undefined,
    stop: (url: URL) => boolean,
  ): Promise<Visited> {
    let url = new URL(given);
    let response = await ask(url, form);
    way.push(url.href);
    for (let hops = 0; hops < 20; hops += 1) {
      const location = response.headers.get('location');
      if (location === null) break;
      await response.arrayBuffer();
      url = new URL(location, url);
      way.push(url.href);
      if (stop(url)) return { url, status: response.status, text: '' };
      // One redirect after the other.
      response = await ask(url, undefined);
    }
    return { url, status: response.status, text: await response.text() };
  }

  return {
    cookies,
    way,
    visit: async (url, form) => go(url, form, () => false),
    async logIn(url, login, stop = () => false) {
      let at = await go(url, undefined, stop);
      for (let forms = 0; forms < 3; forms += 1) {
        const action = /<form[^>]* action="([^"]+)"/.exec(at.text)?.[1];
        const prompt = /name="prompt" value="(\w+)"/.exec(at.text)?.[1];
        if (action === undefined || prompt === undefined) break;
        at = await go(action, prompt === 'login' ? { prompt, login, password: 'x' } : { prompt }, stop);
      }
      return at;
    },
  };
}
