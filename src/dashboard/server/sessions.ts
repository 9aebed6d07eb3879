/**
 * Who has logged in: a cookie that says who, signed, so that nothing is kept for it. What is kept are those that logged out before
 * their time.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../../runtime/clock.ts';
import { DASHBOARD_ROLES, type Principal } from './authenticator.ts';
import type { DashboardRole } from './contract.ts';

/** A login that is open. */
export interface OpenSession extends Principal {
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly endsAtMs: number;
}

export interface Sessions {
  /** The cookie of a new session, as the header Set-Cookie has it. */
  begin(who: Principal, https: boolean): string;
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
/** Cookies are sent with each request; a name that fits in here is long enough. */
const MOST_CHARACTERS = 1_500;
const CLAIMS = 5;

export function createSessions({ clock, lifeMs, basePath, key, fingerprint }: SessionsOptions): Sessions {
  const secret = createHmac('sha256', key ?? randomBytes(32))
    .update(fingerprint)
    .digest();
  /** Ended before their time, by id, until when. */
  const ended = new Map<string, number>();
  // The name says that it came by HTTPS only: then nothing that listens on plain HTTP can have set it.
  const nameFor = (https: boolean): string => (https ? `__Secure-${NAME}` : NAME);
  const sign = (text: string): Buffer => createHmac('sha256', secret).update(text).digest();

  function read(value: string): OpenSession | null {
    const [body = '', signature = '', ...rest] = value.split('.');
    if (value.length > MOST_CHARACTERS || rest.length > 0) return null;
    const given = Buffer.from(signature, 'base64url');
    const own = sign(body);
    if (given.length !== own.length || !timingSafeEqual(given, own)) return null;
    const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as [1, string, string, DashboardRole, number];
    if (claims.length !== CLAIMS || !DASHBOARD_ROLES.includes(claims[3])) return null;
    const [, id, actor, role, endsAtMs] = claims;
    return { id, actor, role, endsAtMs };
  }

  function forgetWhatIsOver(): void {
    for (const [id, untilMs] of ended) if (untilMs <= clock.now()) ended.delete(id);
  }

  const sessions: Sessions = {
    begin({ actor, role }, https) {
      const claims = [1, randomBytes(16).toString('base64url'), actor, role, clock.now() + lifeMs];
      const body = Buffer.from(JSON.stringify(claims)).toString('base64url');
      return setCookie(`${body}.${sign(body).toString('base64url')}`, Math.floor(lifeMs / 1_000), https);
    },
    find(cookies, https) {
      for (const part of (cookies ?? '').split(';')) {
        const [name = '', value = ''] = part.trim().split('=');
        const session = name === nameFor(https) ? read(value) : null;
        if (session !== null && sessions.isOpen(session)) return session;
      }
      return null;
    },
    isOpen: ({ id, endsAtMs }) => endsAtMs > clock.now() && !ended.has(id),
    end(session, https) {
      forgetWhatIsOver();
      if (session !== null) ended.set(session.id, session.endsAtMs);
      return setCookie('', 0, https);
    },
  };

  function setCookie(value: string, seconds: number, https: boolean): string {
    const path = basePath === '' ? '/' : basePath;
    const secure = https ? '; Secure' : '';
    return `${nameFor(https)}=${value}; Path=${path}; Max-Age=${seconds}; HttpOnly; SameSite=Strict${secure}`;
  }

  return sessions;
}
