/**
 * Which addresses a webhook may be sent to. Whoever can register an endpoint could otherwise have this process speak to what only it can
 * reach: databases, dashboards, the metadata service of a cloud. By default every address that is not part of the public internet is refused.
 */
import { BlockList, isIP } from 'node:net';
import { HoldfastError } from '../../errors.ts';

export interface AddressGuard {
  /** @param address an IP address, without brackets or zone */
  allows(address: string): boolean;
  /** Whether names may be looked up as the machine does, in /etc/hosts as well. */
  readonly trusting: boolean;
}

/** Of the IANA registry of special-purpose IPv4 addresses, what is not to be reached over the internet; and multicast. */
const SPECIAL_IPV4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
] as const;
/** Within 2000::/3, which is all that is given out of IPv6: tunnels that lead to other addresses, tests, documentation. */
const SPECIAL_IPV6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'] as const;
const GLOBAL_IPV6 = ['2000::/3'] as const;
/** An IPv4 address behind a translator, in the last 32 bits. Networks that have IPv6 alone reach public IPv4 hosts so. */
const TRANSLATED = '64:ff9b::';

/**
 * @param allowed true: every address. Otherwise subnets that are allowed beside the public addresses, such as `10.1.0.0/16`
 * @throws HoldfastError HF_CONFIG for what is no subnet
 */
export function createAddressGuard(allowed: boolean | readonly string[], where: string): AddressGuard {
  if (allowed === true) return { trusting: true, allows: () => true };
  const own = subnetsOf(allowed === false ? [] : allowed, where);
  const special = subnetsOf(
    [
      ...SPECIAL_IPV4,
      ...SPECIAL_IPV6,
      ...SPECIAL_IPV4.map((subnet) => {
        const [address = '', bits] = subnet.split('/');
        return `${TRANSLATED}${address}/${96 + Number(bits)}`;
      }),
    ],
    where,
  );
  const global = subnetsOf([...GLOBAL_IPV6, `${TRANSLATED}/96`], where);
  return {
    trusting: false,
    allows(address) {
      const family = familyOf(address);
      if (family === null) return false;
      if (own.check(address, family)) return true;
      return !special.check(address, family) && (family === 'ipv4' || global.check(address, family));
    },
  };
}

function familyOf(address: string): 'ipv4' | 'ipv6' | null {
  const version = isIP(address);
  return version === 4 ? 'ipv4' : version === 6 ? 'ipv6' : null;
}

function subnetsOf(subnets: readonly string[], where: string): BlockList {
  const list = new BlockList();
  for (const subnet of subnets) {
    const [address = '', bits = '', ...more] = subnet.split('/');
    const family = familyOf(address);
    const most = family === 'ipv4' ? 32 : 128;
    if (family === null || !/^\d{1,3}$/.test(bits) || Number(bits) > most || more.length > 0)
      throw new HoldfastError('HF_CONFIG', `${where} has ${JSON.stringify(subnet)}, which is no subnet.`, {
        advice: "Write it as '10.1.0.0/16' or 'fd00:1::/32'.",
      });
    list.addSubnet(address, Number(bits), family);
  }
  return list;
}
