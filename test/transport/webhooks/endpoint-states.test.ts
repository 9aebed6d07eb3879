/**
 * What is remembered of endpoints that are not well, and which addresses of a name are connected to.
 */
import type { LookupAddress } from 'node:dns';
import { describe, expect, it } from 'vitest';
import { createManualClock } from '../../../src/testing/manual-clock.ts';
import { createAddressGuard } from '../../../src/transport/webhooks/address-guard.ts';
import { EndpointStates } from '../../../src/transport/webhooks/endpoint-states.ts';
import { guardedLookup } from '../../../src/transport/webhooks/guarded-lookup.ts';

describe('endpoints', () => {
  function states() {
    const clock = createManualClock();
    const rests: (readonly [string, number])[] = [];
    const all = new EndpointStates({
      policy: { consecutiveFailures: 3, halfOpenAfterMs: 1_000 },
      patienceMs: 1_000,
      clock,
      random: () => 1,
      onRest: (name, restMs) => void rests.push([name, restMs]),
    });
    const fail = (times: number, name = 'a'): void => {
      for (let n = 0; n < times; n += 1) all.failed(name, new Error('no'));
    };
    return { all, clock, rests, fail };
  }

  it('rest after failures in a row, which is said once for each rest', async () => {
    const { all, clock, rests, fail } = states();
    fail(2);
    expect([all.restLeft('a'), all.isOnTrial('a'), rests]).toEqual([0, false, []]);
    fail(5);
    expect([all.restLeft('a'), all.isOnTrial('a'), all.restLeft('b'), rests]).toEqual([1_000, true, 0, [['a', 1_000]]]);
    await clock.advance('1s');
    fail(1);
    expect([all.restLeft('a'), rests]).toEqual([
      2_000,
      [
        ['a', 1_000],
        ['a', 2_000],
      ],
    ]);
  });

  it('begin to count anew after a success', async () => {
    const { all, rests, fail } = states();
    for (let n = 0; n < 5; n += 1) {
      fail(2);
      all.succeeded('a');
    }
    all.succeeded('never seen');
    expect(rests).toEqual([]);
  });

  it('get the time that they ask for, also when they are well otherwise', async () => {
    const { all, clock } = states();
    all.asked('a', 5_000);
    all.succeeded('a');
    expect([all.restLeft('a'), all.isOnTrial('a')]).toEqual([5_000, false]);
    await clock.advance('5s');
    expect(all.restLeft('a')).toBe(0);
    all.heldUp('a', 1_000);
    expect(all.restLeft('a')).toBe(0);
    all.heldUp('a', 1_001);
    expect(all.restLeft('a')).toBe(9_009);
  });
});

describe('a name', () => {
  const PUBLIC: LookupAddress = { address: '8.8.8.8', family: 4 };
  const PUBLIC_6: LookupAddress = { address: '2606:4700::1111', family: 6 };
  const PRIVATE: LookupAddress = { address: '10.0.0.1', family: 4 };
  const found = (addresses: readonly LookupAddress[], options: { all?: boolean; family?: number } = { all: true }) =>
    new Promise((resolve) =>
      guardedLookup(createAddressGuard(false, ''), async () => addresses)('name', options, (error, address) =>
        resolve(error === null ? address : error.code),
      ),
    );

  it('leads to those of its addresses that are allowed', async () => {
    expect(await found([PRIVATE, PUBLIC, PUBLIC_6])).toEqual([PUBLIC, PUBLIC_6]);
    expect(await found([PRIVATE, PUBLIC], {})).toBe('8.8.8.8');
    expect(await found([PUBLIC, PUBLIC_6], { family: 6 })).toBe('2606:4700::1111');
  });

  it('is refused when none is', async () => {
    expect(await found([PRIVATE])).toBe('ADDRESS_REFUSED');
    expect(await found([PRIVATE, { address: '127.0.0.1', family: 4 }])).toBe('ADDRESS_REFUSED');
    expect(await found([PRIVATE, PUBLIC_6], { family: 4 })).toBe('ADDRESS_REFUSED');
  });
});
