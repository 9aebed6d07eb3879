/**
 * Addresses of the network: which of them are trusted, and which are this machine.
 */
import { BlockList, isIP, isIPv6 } from 'node:net';
import { badOption } from '../../runtime/options.ts';

/** Addresses and ranges such as `10.0.0.0/8`, to ask whether an address is among them. */
export interface AddressList {
  has(address: string | null): boolean;
}

/** Throws HF_CONFIG for what is neither an address nor a range. */
export function createAddressList(ranges: readonly string[], where: string): AddressList {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = '', bits, ...rest] = range.split('/');
    const version = isIP(address);
    const prefix = bits === undefined ? (version === 4 ? 32 : 128) : Number(bits);
    const fits = /^\d{1,3}$/.test(bits ?? '0') && prefix <= (version === 4 ? 32 : 128);
    if (version === 0 || !fits || rest.length > 0) {
      throw badOption(where, `has ${JSON.stringify(range)}`, 'Give addresses or ranges such as 10.0.0.0/8 or ::1.');
    }
    list.addSubnet(address, prefix, version === 4 ? 'ipv4' : 'ipv6');
  }
  return {
    has(given) {
      const address = given === null ? null : plainAddress(given);
      return address !== null && list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
    },
  };
}

const LOOPBACK = createAddressList(['127.0.0.0/8', '::1'], 'loopback');

/** Whether the address is one of this machine's own that nobody else can reach. */
export function isLoopbackAddress(address: string | null): boolean {
  return LOOPBACK.has(address);
}

/** Whether a name in a URL can only mean this machine; `hostname` as URL has it, IPv6 in brackets. */
export function isLoopbackName(hostname: string): boolean {
  if (hostname === 'localhost' || hostname.endsWith('.localhost')) return true;
  return isLoopbackAddress(hostname.replace(/^\[|\]$/g, ''));
}

/** IPv4 in IPv6's clothes (`::ffff:10.0.0.1`) as IPv4, without a zone; null for what is no address. */
export function plainAddress(given: string): string | null {
  const address = given.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
  return isIP(address) === 0 ? null : address;
}
