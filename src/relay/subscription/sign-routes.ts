/**
 * Which key signs what goes to which destination: that of its route, else that of the subscription. So that whoever has the key of one
 * destination writes to no other. Pure.
 */
import { isDeepStrictEqual } from 'node:util';
import { createSigner, type SigningOptions, type SignWire } from '../../message/signing.ts';
import { badOption } from '../../runtime/options.ts';
import type { Route } from './routes.ts';

/**
 * Null: nothing is signed.
 *
 * @param signing of the subscription
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN
 */
export function signerOf(
  routes: readonly Route[],
  signing: SigningOptions | undefined,
  where: string,
): SignWire | null {
  const usual = signing === undefined ? null : createSigner(signing, `${where}.signing`);
  const own = new Map<string, SignWire>();
  routes.forEach((route, index) => {
    const { to } = route;
    if (!isDeepStrictEqual(route.signing, routes.find((other) => other.to === to)?.signing))
      throw badOption(
        where,
        `routes to '${to}' with different signing`,
        'Give all routes to one destination the same.',
      );
    if (route.signing !== undefined && !own.has(to))
      own.set(to, createSigner(route.signing, `${where}.routes[${index}].signing`));
  });
  if (own.size === 0) return usual;
  return (wire, to, nowMs) => {
    const sign = own.get(to.destination) ?? usual;
    return sign === null ? wire : sign(wire, to, nowMs);
  };
}
