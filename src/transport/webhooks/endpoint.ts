/**
 * One endpoint as users write it, and as it is settled. Its address may itself be a secret (many services put a token into the path), so
 * it is never part of an error: endpoints are told apart by their names.
 */
import { validateHeaderName, validateHeaderValue } from 'node:http';
import { isIP } from 'node:net';
import { HoldfastError } from '../../errors.ts';
import { readSecret } from '../../message/webhook-signature.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';
import type { AddressGuard } from './address-guard.ts';

/** Where webhooks are sent. */
export interface WebhookEndpoint {
  /** `https://…`; `http://…` only with `allowHttp`. Without user and password. */
  readonly url: string;
  /**
   * What webhooks are signed with: `whsec_` and 24 to 64 random bytes in base64. Several: all of them sign, so that one can be replaced while
   * the receiver still knows the other.
   */
  readonly secrets: string | readonly string[];
  /**
   * How long one request may take, from looking the name up to the status of the answer.
   *
   * @defaultValue '5s'
   */
  readonly timeout?: Duration | undefined;
  /**
   * Requests to it at once. Messages of one key are sent one after the other in any case.
   *
   * @defaultValue 8
   */
  readonly concurrency?: number | undefined;
  /** Sent with each request, such as `authorization`. Not those of Standard Webhooks, nor those of the body. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** For endpoints within: whom to trust beside the authorities of Node, and who we are. PEM. */
  readonly tls?: WebhookTls | undefined;
}

/** See {@link WebhookEndpoint}. */
export interface WebhookTls {
  /** Certificates of authorities, in place of those that Node trusts. */
  readonly ca?: string | undefined;
  /** Our certificate, and its key. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

export interface ResolvedEndpoint {
  readonly name: string;
  readonly secure: boolean;
  /** For the request. Without the brackets of an IPv6 address. */
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly keys: readonly Buffer[];
  readonly timeoutMs: number;
  readonly concurrency: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: WebhookTls;
  /** Its address stands in the URL, and is not one that webhooks may be sent to. */
  readonly refused: boolean;
}

export interface EndpointRules {
  readonly guard: AddressGuard;
  readonly allowHttp: boolean;
  /** A request must end within one publish. */
  readonly publishWithinMs: number;
}

const KNOWN = ['url', 'secrets', 'timeout', 'concurrency', 'headers', 'tls'] as const;
/** A request of our own could not be told from one that these were smuggled into. */
const OURS =
  /^(?:webhook-.*|content-.*|host|connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect|proxy-.*)$/i;

/** @throws HoldfastError HF_CONFIG, HF_DURATION, HF_OPTION_UNKNOWN */
export function resolveEndpoint(name: string, endpoint: WebhookEndpoint, rules: EndpointRules): ResolvedEndpoint {
  const where = `The endpoint ${JSON.stringify(name)}`;
  if (typeof endpoint !== 'object' || endpoint === null)
    throw badOption(where, 'is no endpoint', "Give { url: 'https://…', secrets: 'whsec_…' }.");
  refuseUnknownOptions(endpoint, KNOWN, where);
  const url = readUrl(endpoint.url, where, rules.allowHttp);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const secure = url.protocol === 'https:';
  const secrets = [endpoint.secrets].flat();
  if (secrets.length === 0 || secrets[0] === undefined)
    throw badOption(where, 'has no secrets', 'Give at least one, for the receiver to know who sends.');
  refuseUnknownOptions(endpoint.tls ?? {}, ['ca', 'cert', 'key'], `${where}: tls`);
  return {
    name,
    secure,
    host,
    port: Number(url.port || (secure ? 443 : 80)),
    path: url.pathname + url.search,
    keys: secrets.map((secret, index) => readSecret(secret, `${where}: secrets[${index}]`)),
    timeoutMs: timeoutOf(endpoint, where, rules),
    concurrency: concurrencyOf(endpoint, where),
    headers: checkHeaders(endpoint.headers ?? {}, where),
    tls: endpoint.tls ?? {},
    refused: isIP(host) !== 0 && !rules.guard.allows(host),
  };
}

function readUrl(text: string, where: string, allowHttp: boolean): URL {
  const url = typeof text === 'string' && URL.canParse(text) ? new URL(text) : null;
  const schemes = allowHttp ? ['https:', 'http:'] : ['https:'];
  if (url !== null && schemes.includes(url.protocol) && url.username + url.password === '') return url;
  throw new HoldfastError('HF_CONFIG', `${where}: its url cannot be used.`, {
    advice: allowHttp
      ? 'Give an address such as https://hooks.example.com/in, without user and password.'
      : 'Give an address such as https://hooks.example.com/in, without user and password. http:// needs allowHttp.',
  });
}

function timeoutOf({ timeout = '5s' }: WebhookEndpoint, where: string, { publishWithinMs }: EndpointRules): number {
  const timeoutMs = parseDuration(timeout, `${where}: timeout`);
  if (timeoutMs > 0 && timeoutMs < publishWithinMs) return timeoutMs;
  throw badOption(
    `${where}: timeout`,
    `is ${timeoutMs} ms`,
    `It must be more than 0 and less than publishWithin (${publishWithinMs} ms).`,
  );
}

function concurrencyOf({ concurrency = 8 }: WebhookEndpoint, where: string): number {
  if (Number.isInteger(concurrency) && concurrency >= 1 && concurrency <= 1_000) return concurrency;
  throw badOption(`${where}: concurrency`, `is ${concurrency}`, 'Give a whole number from 1 to 1000.');
}

function checkHeaders(headers: Readonly<Record<string, string>>, where: string): Readonly<Record<string, string>> {
  for (const [name, value] of Object.entries(headers)) {
    if (OURS.test(name))
      throw badOption(
        `${where}: headers`,
        `has ${JSON.stringify(name)}`,
        'Leave it out: that is set by the transport.',
      );
    try {
      validateHeaderName(name);
      validateHeaderValue(name, value);
    } catch {
      // What Node says has the value in it, which may be a secret.
      throw badOption(
        `${where}: headers`,
        `has ${JSON.stringify(name)}, which cannot be sent`,
        'Give names and values of HTTP.',
      );
    }
  }
  return headers;
}
