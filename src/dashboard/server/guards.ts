/**
 * What every request must pass, whoever it is from: how we are called, and that nobody else's page has sent it. And the headers that
 * keep browsers from doing with an answer what it is not for.
 */
import { RequestRefusal } from './failure.ts';
import { isCalledRightly, type RequestFacts } from './request-facts.ts';

/** Sent by the page on every request that is no GET. A page of another origin cannot, without being let to first. */
export const CSRF_HEADER = 'x-holdfast-csrf';

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Throws RequestRefusal. */
export function checkHost(facts: RequestFacts, hosts: ReadonlySet<string>): void {
  if (isCalledRightly(facts, hosts)) return;
  throw new RequestRefusal(421, 'HF_REQUEST', `The dashboard is not known as ${JSON.stringify(facts.calledName)}.`, {
    advice: 'Call it localhost on its own machine, or name that host in `hosts` of the dashboard.',
  });
}

export interface ForgeryQuestion {
  readonly method: string;
  readonly facts: RequestFacts;
  readonly header: (name: string) => string | null;
  /** A form of ours, which can send no header of its own. */
  readonly isForm: boolean;
}

/** For what a browser adds its rights to by itself. Throws RequestRefusal. */
export function checkForgery({ method, facts, header, isForm }: ForgeryQuestion): void {
  if (SAFE_METHODS.has(method)) return;
  // From a form it is 'null', since we send no referrer: then it says nothing.
  const origin = header('origin') === 'null' ? null : header('origin');
  const site = header('sec-fetch-site');
  const elsewhere =
    (origin !== null && !isOrigin(origin, facts)) || (site !== null && site !== 'same-origin' && site !== 'none');
  if (elsewhere) {
    throw new RequestRefusal(403, 'HF_REQUEST', 'The request was sent by a page of another origin.', {
      advice: 'Act from the page of the dashboard. Behind a proxy, give its addresses in `trustedProxies`.',
    });
  }
  // Every browser of today says one of both with a form.
  const isMeant = header(CSRF_HEADER) !== null || (isForm && (origin !== null || site === 'same-origin'));
  if (isMeant) return;
  throw new RequestRefusal(403, 'HF_REQUEST', `The header ${CSRF_HEADER} is missing.`, {
    advice: `Send \`${CSRF_HEADER}: 1\`, or a token as \`Authorization: Bearer\`.`,
  });
}

/** By the host alone: that a proxy speaks HTTPS with browsers is not always known here. */
function isOrigin(origin: string, { host }: RequestFacts): boolean {
  if (!URL.canParse(origin) || host === '') return false;
  const { protocol, host: named } = new URL(origin);
  return ['http:', 'https:'].includes(protocol) && (named === host || named === withoutDefaultPort(host, protocol));
}

function withoutDefaultPort(host: string, protocol: string): string {
  return protocol === 'https:' ? host.replace(/:443$/, '') : host.replace(/:80$/, '');
}

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "form-action 'self'",
  "base-uri 'self'",
  "frame-ancestors 'none'",
].join('; ');

/** On every answer. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': POLICY,
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
};
