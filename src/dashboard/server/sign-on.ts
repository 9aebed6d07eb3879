/**
 * Logging in at the page of an identity provider: there with a cookie that remembers what was asked, and back with the answer to it. What a
 * browser brings that did not begin here is not even looked at.
 */
import type { Clock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Principal, SignOn } from './authenticator.ts';
import { cookiesOf, setCookie } from './cookies.ts';
import type { LoginLimit } from './login-limit.ts';
import type { RequestFacts } from './request-facts.ts';
import { createTextSigner } from './signed-text.ts';

/** Where both addresses are, below the base path. */
export const SIGN_ON_PATH = '/login/sso';
export const CALLBACK_PATH = `${SIGN_ON_PATH}/callback`;

/** Where a browser goes next, with which cookie. */
export interface SignOnStep {
  readonly location: string;
  readonly cookie: string | null;
  /** Who has logged in; null: nobody. */
  readonly who: Principal | null;
}

export interface SignOnFlow {
  readonly label: string;
  /** `to`: the address of the page to come back to. */
  begin(facts: RequestFacts, to: string | undefined): Promise<SignOnStep>;
  finish(facts: RequestFacts, cookies: string | null, query: URLSearchParams): Promise<SignOnStep>;
  /** Where a browser goes after a logout; null: nowhere. */
  end(): Promise<string | null>;
}

export interface SignOnFlowOptions {
  readonly signOn: SignOn;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limit: LoginLimit;
  readonly basePath: string;
  /** As of sessions. */
  readonly key: string | undefined;
}

const COOKIE = 'holdfast_sign_on';
const LIFE_MS = 10 * 60_000;
/** Whoever has not logged in can ask for these: the provider may be slow, and must not make others wait. */
const MOST_AT_ONCE = 20;
/** A longer one would not fit into the cookie. */
const MOST_ADDRESS = 1_000;

/** In the cookie. */
type Kept = readonly [endsAtMs: number, to: string, keep: string];

export function createSignOnFlow({ signOn, clock, log, limit, basePath, key }: SignOnFlowOptions): SignOnFlow {
  const signer = createTextSigner({ key, purpose: 'sign-on' });
  let underWay = 0;

  function cookie(value: string, seconds: number, https: boolean): string {
    const path = `${basePath}${SIGN_ON_PATH}`;
    return setCookie({ name: COOKIE, value, path, seconds, sameSite: 'Lax', https });
  }

  function keptIn(cookies: string | null, https: boolean): Kept | null {
    for (const value of cookiesOf(cookies, COOKIE, https)) {
      const text = signer.read(value);
      const kept = text === null ? null : (JSON.parse(text) as Kept);
      if (kept !== null && kept[0] > clock.now()) return kept;
    }
    return null;
  }

  /** The login page says what the status means. */
  const refused = (status: number, gone: string | null): SignOnStep => ({
    location: `${basePath}/?login=${status}`,
    cookie: gone,
    who: null,
  });

  async function limited(work: () => Promise<SignOnStep>): Promise<SignOnStep> {
    if (underWay >= MOST_AT_ONCE) return refused(503, null);
    underWay += 1;
    try {
      return await work();
    } finally {
      underWay -= 1;
    }
  }

  return {
    label: signOn.label,
    begin: async ({ https }, to) =>
      limited(async () => {
        try {
          const { url, keep } = await signOn.begin();
          const kept: Kept = [clock.now() + LIFE_MS, addressOfPage(to, basePath), keep];
          return {
            location: url.href,
            cookie: cookie(signer.sign(JSON.stringify(kept)), LIFE_MS / 1_000, https),
            who: null,
          };
        } catch (error) {
          log.warn({ err: error }, 'the identity provider cannot be asked who somebody is');
          return refused(503, null);
        }
      }),
    finish: async ({ https, client }, cookies, query) =>
      limited(async () => {
        const kept = keptIn(cookies, https);
        if (kept === null) return refused(400, null);
        if (limit.waitFor(client) > 0) return refused(429, null);
        // It is for one answer, whatever that is.
        const gone = cookie('', 0, https);
        const [, to, keep] = kept;
        try {
          const who = await signOn.finish(query, keep);
          return who === null ? refused(403, gone) : { location: to, cookie: gone, who };
        } catch (error) {
          limit.failed(client);
          log.warn({ err: error }, 'the identity provider did not confirm who somebody is');
          return refused(401, gone);
        }
      }),
    async end() {
      try {
        return (await signOn.end?.())?.href ?? null;
      } catch (error) {
        log.warn({ err: error }, 'the identity provider cannot be told of a logout');
        return null;
      }
    },
  };
}

/** Not of the page. */
const ELSEWHERE = /^\/(?:api|login|logout|livez|assets)(?:\/|$)/;

/**
 * An address of the page, without its origin: whatever else is given is the page's first view, so that nobody is led to another site by way of
 * a login here. Pure.
 */
export function addressOfPage(to: string | undefined, basePath: string): string {
  const first = `${basePath}/`;
  const origin = 'http://page.invalid';
  if (to === undefined || to.length > MOST_ADDRESS || !to.startsWith('/') || !URL.canParse(to, origin)) return first;
  const url = new URL(to, origin);
  // As a browser reads it, which takes `//x` and `/\\x` for another host.
  if (url.origin !== origin || url.pathname.startsWith('//') || !url.pathname.startsWith(first)) return first;
  if (ELSEWHERE.test(url.pathname.slice(basePath.length))) return first;
  return `${url.pathname}${url.search}`;
}
