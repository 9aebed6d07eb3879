/**
 * Who is asking: what the request itself proves, then the session that was begun by a login, then what a proxy says, then, where that
 * was asked for, who sits at this machine.
 */
import { isLoopbackAddress, isLoopbackName } from './addresses.ts';
import type { AuthenticationRequest, Authenticator, Principal } from './authenticator.ts';
import { bearerOf } from './token-authenticator.ts';
import { RequestRefusal } from './failure.ts';
import type { LoginLimit } from './login-limit.ts';
import type { RequestFacts } from './request-facts.ts';
import type { OpenSession, Sessions } from './sessions.ts';

/** How the names of those who act here begin in the audit. */
export const ACTOR_PREFIX = 'dashboard:';

/** Somebody who is known. */
export interface Asker extends Principal {
  readonly session: OpenSession | null;
  /** A browser may have added by itself what it is known by. */
  readonly ambient: boolean;
}

export interface Askers {
  /** Null: nobody who is known. Rejects with RequestRefusal for a wrong token. */
  find(request: AskedBy): Promise<Asker | null>;
  /** By what was entered in the form. Rejects with RequestRefusal. */
  login(secret: string, facts: RequestFacts): Promise<Principal>;
  /** Whether there is a form to log in by. */
  readonly hasForm: boolean;
}

export interface AskedBy {
  readonly facts: RequestFacts;
  readonly header: (name: string) => string | null;
}

export interface AskersOptions {
  readonly authenticators: readonly Authenticator[];
  /** Who sits at this machine and has not logged in; null: nobody. */
  readonly anonymous: Principal | null;
  readonly sessions: Sessions;
  readonly limit: LoginLimit;
}

export function createAskers({ authenticators, anonymous, sessions, limit }: AskersOptions): Askers {
  const firstOf = async (ambient: boolean, request: AuthenticationRequest): Promise<Asker | null> => {
    for (const each of authenticators) {
      if (each.ambient !== ambient) continue;
      // One after the other: the first that knows who it is decides.
      // oxlint-disable-next-line no-await-in-loop
      const principal = await each.authenticate(request);
      if (principal !== null) return { ...principal, session: null, ambient };
    }
    return null;
  };

  function refuseTooMany(facts: RequestFacts): void {
    const seconds = limit.waitFor(facts.client);
    if (seconds === 0) return;
    throw new RequestRefusal(429, 'HF_LOGIN_LIMIT', 'Too many logins have failed from this address.', {
      advice: `Try again in ${seconds} seconds.`,
      headers: { 'retry-after': String(seconds) },
    });
  }

  return {
    hasForm: authenticators.some((each) => each.login !== undefined),
    async find({ facts, header }) {
      const request = { header, peer: facts.peer };
      const bearer = bearerOf(header('authorization')) !== null;
      if (bearer) refuseTooMany(facts);
      const proven = await firstOf(false, request);
      if (proven !== null) return proven;
      if (bearer) {
        limit.failed(facts.client);
        throw new RequestRefusal(401, 'HF_LOGIN', 'The token is not known.', {
          advice: 'Check it, or log in without one.',
          headers: { 'www-authenticate': 'Bearer' },
        });
      }
      const session = sessions.find(header('cookie'), facts.https);
      if (session !== null) return { actor: session.actor, role: session.role, session, ambient: true };
      const told = await firstOf(true, request);
      if (told !== null) return told;
      return anonymous !== null && sitsHere(facts) ? { ...anonymous, session: null, ambient: true } : null;
    },
    async login(secret, facts) {
      refuseTooMany(facts);
      for (const each of authenticators) {
        // oxlint-disable-next-line no-await-in-loop
        const principal = (await each.login?.(secret)) ?? null;
        if (principal !== null) return principal;
      }
      limit.failed(facts.client);
      throw new RequestRefusal(401, 'HF_LOGIN', 'That is no token of this dashboard.', {
        advice: 'Check it for blanks and missing characters.',
      });
    },
  };
}

/** Straight from this machine: a proxy here would pass on who sits elsewhere. */
function sitsHere({ peer, calledName, passedOn }: RequestFacts): boolean {
  return isLoopbackAddress(peer) && isLoopbackName(calledName) && !passedOn;
}
