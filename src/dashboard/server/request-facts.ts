/**
 * Where a request comes from and what it calls us. What a proxy says about it (`X-Forwarded-…`) counts only when the connection comes
 * from an address that is trusted; from anybody else it is as if it were not there.
 */
import { isLoopbackAddress, isLoopbackName, plainAddress, type AddressList } from './addresses.ts';

export interface RequestFacts {
  /** The other end of the connection; null where the platform does not say. */
  readonly peer: string | null;
  /** Who is behind it: the peer, or whom trusted proxies name. */
  readonly client: string | null;
  /** Host and port by which whoever asks knows us, in lower case; '' when it is not said. */
  readonly host: string;
  /** The name in the header Host itself, without a port; '' when there is none or it cannot be read. */
  readonly calledName: string;
  /** Whoever asks speaks HTTPS with us, or with a trusted proxy. */
  readonly https: boolean;
  /** Some proxy, trusted or not, has passed it on. */
  readonly passedOn: boolean;
}

/** What the platform says of a request. */
export interface RawRequest {
  readonly peer: string | null;
  /** The connection itself is encrypted. */
  readonly encrypted: boolean;
  /** Host and port in the URL that the platform made of it. */
  readonly urlHost: string;
  readonly header: (name: string) => string | null;
}

const SIGNS_OF_A_PROXY = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip', 'via'];

/** Pure. */
export function factsOf(raw: RawRequest, trusted: AddressList): RequestFacts {
  const fromProxy = trusted.has(raw.peer);
  const said = (name: string): string | null => (fromProxy ? firstOf(raw.header(name)) : null);
  const called = (raw.header('host') ?? raw.urlHost).toLowerCase();
  const peer = raw.peer === null ? null : plainAddress(raw.peer);
  return {
    peer,
    client: fromProxy ? clientBehind(raw.header('x-forwarded-for'), peer, trusted) : peer,
    host: said('x-forwarded-host')?.toLowerCase() ?? called,
    calledName: nameOf(called),
    https: said('x-forwarded-proto') === null ? raw.encrypted : said('x-forwarded-proto') === 'https',
    passedOn: SIGNS_OF_A_PROXY.some((name) => raw.header(name) !== null),
  };
}

/**
 * Whether a request that comes from this machine calls us by a name that means it, or by one of `hosts`. A page of somebody else whose
 * name was made to point here (DNS rebinding) calls us by that name, and would have all the rights of who sits at this machine. With
 * `hosts` every request must use one of them, or a name of this machine. Pure.
 */
export function isCalledRightly({ peer, calledName }: RequestFacts, hosts: ReadonlySet<string>): boolean {
  if (hosts.has(calledName)) return true;
  if (isLoopbackAddress(peer)) return isLoopbackName(calledName);
  return hosts.size === 0;
}

/** The rightmost that is not a proxy of ours: what stands to the left of it is only what that one says. */
function clientBehind(forwardedFor: string | null, peer: string | null, trusted: AddressList): string | null {
  let client = peer;
  for (const part of (forwardedFor ?? '').split(',').toReversed()) {
    const address = plainAddress(withoutPort(part.trim()));
    if (address === null) return client;
    client = address;
    if (!trusted.has(address)) return client;
  }
  return client;
}

function withoutPort(text: string): string {
  const bracketed = /^\[([^\]]*)\]/.exec(text)?.[1];
  return bracketed ?? text.replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1');
}

function firstOf(header: string | null): string | null {
  const first = header?.split(',')[0]?.trim() ?? '';
  return first === '' ? null : first;
}

function nameOf(host: string): string {
  return URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : '';
}
