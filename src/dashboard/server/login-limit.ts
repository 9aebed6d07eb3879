/**
 * How often an address may fail to log in. Each has a few tries, which come back one by one; who has none left is not even looked at.
 */
import { isIPv6 } from 'node:net';
import type { Clock } from '../../runtime/clock.ts';

export interface LoginLimit {
  /** Seconds until the address may try again; 0: now. */
  waitFor(address: string | null): number;
  failed(address: string | null): void;
}

const TRIES = 10;
const BACK_AFTER_MS = 6_000;
/** Addresses that are remembered at most. Beyond that the ones that failed longest ago are forgotten. */
const MOST_ADDRESSES = 10_000;

interface Bucket {
  readonly failures: number;
  readonly atMs: number;
}

export function createLoginLimit(clock: Clock): LoginLimit {
  /** In the order of their last failures. */
  const buckets = new Map<string, Bucket>();
  const failuresNow = (key: string): number => {
    const bucket = buckets.get(key);
    if (bucket === undefined) return 0;
    return Math.max(0, bucket.failures - (clock.monotonic() - bucket.atMs) / BACK_AFTER_MS);
  };
  return {
    waitFor(address) {
      const over = failuresNow(keyOf(address)) - (TRIES - 1);
      return over <= 0 ? 0 : Math.ceil((over * BACK_AFTER_MS) / 1_000);
    },
    failed(address) {
      const key = keyOf(address);
      const failures = Math.min(failuresNow(key) + 1, TRIES);
      buckets.delete(key);
      buckets.set(key, { failures, atMs: clock.monotonic() });
      const [eldest] = buckets.keys();
      if (buckets.size > MOST_ADDRESSES && eldest !== undefined) buckets.delete(eldest);
    },
  };
}

/** Of IPv6 the network: one household has more addresses than could be counted. Pure. */
function keyOf(address: string | null): string {
  if (address === null || !isIPv6(address)) return address ?? 'unknown';
  const [head = '', tail = ''] = address.split('::');
  const left = head.split(':').filter((part) => part !== '');
  const right = tail.split(':').filter((part) => part !== '');
  const zeros = address.includes('::')
    ? Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => '0')
    : [];
  return [...left, ...zeros, ...right].slice(0, 4).join(':');
}
