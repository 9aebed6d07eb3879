/**
 * How the name of an endpoint becomes the address that a socket connects to. The connection is made to the very address that was checked: a
 * name that leads elsewhere the second time it is asked (DNS rebinding) gains nothing.
 */
import { lookup as lookUpAsMachine, Resolver } from 'node:dns/promises';
import type { LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { callbackify } from 'node:util';
import type { AddressGuard } from './address-guard.ts';

/** All addresses of a name. Rejects when there is none. */
export type ResolveName = (name: string) => Promise<readonly LookupAddress[]>;

/** A name, or an address in a URL, that leads to where webhooks may not go. */
export class AddressRefused extends Error {
  readonly code = 'ADDRESS_REFUSED';
  constructor() {
    super('leads to an address that is not public');
  }
}

/** For `net.connect`. Its addresses are those of the name that the guard allows. */
export function guardedLookup(guard: AddressGuard, resolve: ResolveName): LookupFunction {
  const allowed = async (name: string, family: unknown): Promise<readonly LookupAddress[]> => {
    const all = await resolve(name);
    const wanted = family === 4 || family === 6 ? all.filter((each) => each.family === family) : all;
    const found = wanted.filter(({ address }) => guard.allows(address));
    if (found.length === 0) throw new AddressRefused();
    return found;
  };
  const asked = callbackify(allowed);
  return (name, options, callback) =>
    asked(name, options.family, (error, addresses) => {
      if (error !== null) callback(error, '');
      else if (options.all === true) callback(null, [...addresses]);
      else callback(null, addresses[0]?.address ?? '', addresses[0]?.family ?? 4);
    });
}

/** One try of a server of names, in milliseconds; two are made. */
const TRY_MS = 1_500;

/**
 * Asks the servers of names by itself, for names that strangers have chosen: `getaddrinfo` would do so in one of the few threads that all
 * of the process shares, where a server that answers slowly holds up files and names of everybody.
 */
export function resolveByServers(): ResolveName {
  const resolver = new Resolver({ timeout: TRY_MS, tries: 2 });
  return async (name) => {
    const [four, six] = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
    const found = [
      ...(four.status === 'fulfilled' ? four.value.map((address) => ({ address, family: 4 })) : []),
      ...(six.status === 'fulfilled' ? six.value.map((address) => ({ address, family: 6 })) : []),
    ];
    if (found.length === 0) throw four.status === 'rejected' ? four.reason : new Error('no address');
    return found;
  };
}

/** As every other program of the machine does. */
export const resolveAsMachine: ResolveName = (name) => lookUpAsMachine(name, { all: true });
