/**
 * Tokens: whoever has one is who it was given to. For people by the login form, for programs as `Authorization: Bearer`.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { badOption } from '../../runtime/options.ts';
import { assertDashboardRole, type Authenticator, type Principal } from './authenticator.ts';

/** Shorter ones could be guessed. */
const LEAST_CHARACTERS = 16;
const TOKEN = /^(?<actor>[\w.@+-]{1,100}):(?<role>[a-z]+):(?:sha256:(?<hash>[0-9a-fA-F]{64})|(?<plain>[\x21-\x7E]+))$/;

interface KnownToken extends Principal {
  readonly hash: Buffer;
}

/**
 * An authenticator that knows tokens. Each is a text `NAME:ROLE:TOKEN`, or `NAME:ROLE:sha256:HASH` with the SHA-256 of the token in hex, so
 * that the configuration does not hold it. A token has at least 16 characters; make it by chance (`openssl rand -base64 24`).
 *
 * @throws HoldfastError HF_CONFIG; the error does not show the token
 * @example
 * const authenticator = tokenAuthenticator((process.env['HOLDFAST_DASHBOARD_TOKENS'] ?? '').split(';'));
 */
export function tokenAuthenticator(tokens: readonly string[]): Authenticator {
  const known = tokens.map((token, index) => parseToken(token, index));
  if (known.length === 0) throw badOption('tokenAuthenticator', 'is given no token', 'Give NAME:ROLE:TOKEN.');
  const hashes = known.map(({ actor, role, hash }) => `${actor}:${role}:${hash.toString('hex')}`);
  const find = (secret: string): Principal | null => {
    const hash = digest(secret);
    let found: Principal | null = null;
    // All of them, whichever fits: how long it takes says nothing.
    for (const { actor, role, hash: own } of known) if (timingSafeEqual(own, hash)) found = { actor, role };
    return found;
  };
  return {
    name: 'token',
    ambient: false,
    authenticate(request) {
      const token = bearerOf(request.header('authorization'));
      return token === null ? null : find(token);
    },
    login: find,
    fingerprint: digest(hashes.toSorted().join('\n')).toString('hex'),
  };
}

/** The token of `Authorization: Bearer TOKEN`; null for any other. Pure. */
export function bearerOf(authorization: string | null): string | null {
  return /^bearer +([\x21-\x7E]+) *$/i.exec(authorization ?? '')?.[1] ?? null;
}

function parseToken(token: unknown, index: number): KnownToken {
  const where = `token ${index + 1} of the dashboard`;
  const parts = typeof token === 'string' ? TOKEN.exec(token)?.groups : undefined;
  const { actor, role, hash, plain } = parts ?? {};
  if (actor === undefined) {
    throw badOption(where, 'cannot be read', 'Write NAME:ROLE:TOKEN or NAME:ROLE:sha256:HASH, the hash in hex.');
  }
  if (plain !== undefined && plain.length < LEAST_CHARACTERS) {
    throw badOption(where, `has fewer than ${LEAST_CHARACTERS} characters`, 'Make it by `openssl rand -base64 24`.');
  }
  const known = { actor, role: assertDashboardRole(role, where) };
  return { ...known, hash: hash === undefined ? digest(plain ?? '') : Buffer.from(hash, 'hex') };
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
