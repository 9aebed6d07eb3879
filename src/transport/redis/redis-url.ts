/**
 * Reads URLs that tell where Redis is: one server, a cluster, or a primary behind Sentinel. Pure.
 */
export interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

interface Common {
  readonly hosts: readonly HostAndPort[];
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
}

export type RedisUrl =
  | (Common & { readonly kind: 'single'; readonly db: number })
  | (Common & { readonly kind: 'cluster' })
  | (Common & {
      readonly kind: 'sentinel';
      readonly name: string;
      readonly db: number;
      readonly sentinelUsername: string | undefined;
      readonly sentinelPassword: string | undefined;
    })
  | { readonly kind: 'wrong'; readonly what: string; readonly advice: string };

const SHAPE = /^redis(s?)(?:\+(cluster|sentinel))?:\/\/(?:([^/?#]*)@)?([^/?#@]*)(\/[^?#]*)?(?:\?([^#]*))?$/i;
const SENTINEL_PORT = 26_379;

/** Null for what does not begin as a URL of Redis does. Never tells the URL itself: it may hold a password. */
export function readRedisUrl(url: string): RedisUrl | null {
  if (!/^rediss?(\+\w+)?:/i.test(url)) return null;
  const parts = SHAPE.exec(url);
  if (parts === null) return wrong('the Redis URL cannot be read.');
  const [, s = '', topology, account = '', list = '', path = '', query = ''] = parts;
  const kind = (topology?.toLowerCase() ?? 'single') as 'single' | 'cluster' | 'sentinel';
  const hosts = list.split(',').map((host) => readHost(host, kind === 'sentinel' ? SENTINEL_PORT : 6379));
  if (kind === 'single' && hosts.length > 1)
    return wrong(
      'the Redis URL names several servers.',
      'Begin it with redis+cluster:// for a Redis Cluster, or with redis+sentinel:// and end it with /NAME for Sentinel.',
    );
  const [username, password] = readAccount(account);
  const read = hosts.filter((host) => host !== null);
  if (read.length < hosts.length || username === null || password === null) {
    // ioredis takes localhost then.
    if (kind === 'single' && list === '') read.push({ host: 'localhost', port: 6379 });
    else return wrong('the Redis URL cannot be read.');
  }
  const common: Common = {
    hosts: read,
    tls: s !== '',
    username: username ?? undefined,
    password: password ?? undefined,
  };
  const segments = path.split('/').slice(1);
  if (kind === 'single') return { kind, ...common, db: wholeOrZero(segments[0]) };
  if (kind === 'cluster') {
    if ((path !== '' && path !== '/' && path !== '/0') || query !== '')
      return wrong(
        'the URL of a Redis Cluster ends with its nodes.',
        'A cluster has the database 0 alone: leave the rest out.',
      );
    return { kind, ...common };
  }
  return sentinelUrl(common, segments, query);
}

function sentinelUrl(common: Common, [name = '', db, ...more]: readonly string[], query: string): RedisUrl {
  const given = new URLSearchParams(query);
  const strange = [...given.keys()].find((key) => key !== 'sentinelUsername' && key !== 'sentinelPassword');
  if (name === '' || more.length > 0 || strange !== undefined)
    return wrong(
      'the URL for Sentinel does not say which primary.',
      'Write redis+sentinel://user:password@host:26379,host:26379/NAME/0, with ?sentinelPassword=… where the sentinels ask for one.',
    );
  return {
    kind: 'sentinel',
    ...common,
    name: decoded(name) ?? name,
    db: wholeOrZero(db),
    sentinelUsername: given.get('sentinelUsername') ?? undefined,
    sentinelPassword: given.get('sentinelPassword') ?? undefined,
  };
}

/** `host:port`, also with an IPv6 address in brackets; null when it cannot be read. */
export function readHost(text: string, defaultPort: number): HostAndPort | null {
  const [, six, name, port] = /^(?:\[([\da-f:.]+)\]|([^:[\]\s/@]+))(?::(\d{1,5}))?$/i.exec(text) ?? [];
  const host = six ?? name;
  const number = port === undefined ? defaultPort : Number(port);
  return host === undefined || number < 1 || number > 65_535 ? null : { host, port: number };
}

export function writeHost({ host, port }: HostAndPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** What may be shown of a URL: without user, password and query. */
export function redisUrlWithoutSecrets(url: string): string {
  const read = readRedisUrl(url);
  if (read === null || read.kind === 'wrong') return 'the configured address';
  const hosts = read.hosts.map(writeHost).join(',');
  return read.kind === 'sentinel' ? `${hosts} (${read.name})` : hosts;
}

/** Null for what is badly %-encoded. */
function readAccount(account: string): readonly [string | null | undefined, string | null | undefined] {
  if (account === '') return [undefined, undefined];
  const colon = account.indexOf(':');
  const [user, secret] = colon < 0 ? [account, ''] : [account.slice(0, colon), account.slice(colon + 1)];
  return [user === '' ? undefined : decoded(user), secret === '' ? undefined : decoded(secret)];
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

function wholeOrZero(text: string | undefined): number {
  const value = Number(text ?? 0);
  return Number.isInteger(value) && value >= 0 ? value : 0;
}

function wrong(what: string, advice?: string): RedisUrl {
  return {
    kind: 'wrong',
    what,
    advice: advice ?? 'It looks like redis://user:password@host:6379, with special characters %-encoded.',
  };
}
