/** How long marks must be kept, and which lock a key has: the decisions alone. */
import { describe, expect, it } from 'vitest';
import { longestRetriesMs } from '../../src/inbox/delivery/retention.ts';
import type { ResolvedHandler } from '../../src/inbox/handlers/handler.ts';
import { keyLock } from '../../src/inbox/stores/inbox-store.ts';

describe('the longest that attempts in place can take', () => {
  const handler = (attempts: number, timeoutMs: number, withinMs = Infinity) =>
    ({
      retry: { attempts, baseMs: 100, capMs: 100, factor: 1, withinMs },
      timeoutMs,
    }) as ResolvedHandler<unknown>;

  it('is that of the waits and of the handling together, for the handler that takes longest', () => {
    expect(longestRetriesMs([])).toBe(0);
    expect(longestRetriesMs([handler(1, 30_000)])).toBe(30_000);
    expect(longestRetriesMs([handler(3, 1_000), handler(2, 10_000)])).toBe(100 + 20_000);
    expect(longestRetriesMs([handler(Infinity, 1_000, 5_000)])).toBe(5_000);
  });
});

describe('the lock of a key', () => {
  it('is the same in every process, and another one for each key and each consumer', () => {
    // Processes of different versions handle messages of one key: they must wait for each other.
    expect(keyLock('shipping', 'order-1')).toBe('-7241887932939315032');
    const locks = [
      ['shipping', 'order-1'],
      ['shipping', 'order-2'],
      ['billing', 'order-1'],
      ['billing', 'order-2'],
    ].map(([consumer, key]) => keyLock(consumer as string, key as string));
    expect(new Set(locks).size).toBe(4);
  });
});
