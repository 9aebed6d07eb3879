/**
 * Who has logged in: a cookie that says who, signed, so that nothing is kept for it. What is kept are those that logged out before
 * their time.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../runtime/clock.ts';
import { DASHBOARD_ROLES, type Principal } from './authenticator.ts';
import type { DashboardRole } from './contract.ts';
import { cookiesOf, setCookie } from './cookies.ts';
import { createTextSigner } from './signed-text.ts';

/** A login that is open. */
export interface OpenSession extends Principal {
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly endsAtMs: number;
  /** It was begun at an identity provider. */
  readonly signOn: boolean;
}

export interface Sessions {
  /** The cookie of a new session, as the header Set-Cookie has it. `signOn`: it was begun at an identity provider. */
  begin(who: Principal, https: boolean, signOn?: boolean): string;
  /** The session that the header Cookie proves; null: none, or it is over. */
  find(cookies: string | null, https: boolean): OpenSession | null;
  /** Whether it is open still. */
  isOpen(session: OpenSession): boolean;
  /** Ends it, and answers with the cookie that takes it away. */
  end(session: OpenSession | null, https: boolean): string;
}

export interface SessionsOptions {
  readonly clock: Clock;
  readonly lifeMs: number;
  /** Path of the cookie. */
  readonly basePath: string;
  /** Of several processes that share sessions the same; undefined: one of this process. */
  readonly key: string | undefined;
  /** Differs when others are let in: sessions of before are then over. */
  readonly fingerprint: string;
}

const NAME = 'holdfast_session';
/** One that was begun at an identity provider has one more, so that processes of before read the others. */
const CLAIMS = 5;
const SIGN_ON = 'sign-on';
type Claims = [1, string, string, DashboardRole, number, typeof SIGN_ON?];

export function createSessions({ clock, lifeMs, basePath, key, fingerprint }: SessionsOptions): Sessions {
  const signer = createTextSigner({ key, purpose: fingerprint });
  /** Ended before their time, by id, until when. */
  const ended = new Map<string, number>();

  function read(value: string): OpenSession | null {
    const text = signer.read(value);
    if (text === null) return null;
    const claims = JSON.parse(text) as Claims;
    const [, id, actor, role, endsAtMs, by] = claims;
    const signOn = by === SIGN_ON;
    if (claims.length !== CLAIMS + (signOn ? 1 : 0) || !DASHBOARD_ROLES.includes(role)) return null;
    return { id, actor, role, endsAtMs, signOn };
  }

  function forgetWhatIsOver(): void {
    for (const [id, untilMs] of ended) if (untilMs <= clock.now()) ended.delete(id);
  }

  const sessions: Sessions = {
    begin({ actor, role }, https, signOn = false) {
      const id = randomBytes(16).toString('base64url');
      const claims = [1, id, actor, role, clock.now() + lifeMs, ...(signOn ? [SIGN_ON] : [])];
      return cookie(signer.sign(JSON.stringify(claims)), Math.floor(lifeMs / 1_000), https);
    },
    find(cookies, https) {
      for (const value of cookiesOf(cookies, NAME, https)) {
        const session = read(value);
        if (session !== null && sessions.isOpen(session)) return session;
      }
      return null;
    },
    isOpen: ({ id, endsAtMs }) => endsAtMs > clock.now() && !ended.has(id),
    end(session, https) {
      forgetWhatIsOver();
      if (session !== null) ended.set(session.id, session.endsAtMs);
      return cookie('', 0, https);
    },
  };

  function cookie(value: string, seconds: number, https: boolean): string {
    const path = basePath === '' ? '/' : basePath;
    return setCookie({ name: NAME, value, path, seconds, sameSite: 'Strict', https });
  }

  return sessions;
}
