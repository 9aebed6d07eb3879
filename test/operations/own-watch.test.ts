/** What a process knows only of itself, over time: the circuit breakers of steps in its workers. */
import { expect, it } from 'vitest';
import { ALERT_KINDS } from '../../src/operations/alerts/alert.ts';
import { createOwnWatch } from '../../src/operations/alerts/own-watch.ts';
import { createAdmission } from '../../src/saga/engine/admission.ts';
import type { Run } from '../../src/saga/run/run.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';

const MINUTE = 60_000;
const policy = {
  quietMs: 5 * MINUTE,
  repeatMs: 60 * MINUTE,
  clearMs: MINUTE,
  forMs: (kind: keyof typeof ALERT_KINDS) => ALERT_KINDS[kind].forMs,
};

it('tells of a breaker that is open for long, once for all workers of the process, and when it is over', () => {
  let open: readonly { readonly name: string }[] = [];
  const worker = {
    id: 'w',
    get openBreakers() {
      return open;
    },
  };
  const watch = createOwnWatch({
    name: 'pod-1',
    workers: [worker, worker, { id: 'x' }],
    policy,
    isWatched: () => true,
  });
  const told = (atMs: number) =>
    watch.look(false, 1_000_000 + atMs).map(({ status, kind, subject }) => `${status} ${kind} ${subject}`);
  open = [{ name: 'bank' }];
  expect(told(0)).toEqual([]);
  open = [];
  expect(told(MINUTE)).toEqual([]);
  open = [{ name: 'bank' }];
  expect([told(10 * MINUTE), told(11 * MINUTE), told(12 * MINUTE)]).toEqual([
    [],
    [],
    ['firing step-breaker-open pod-1: bank'],
  ]);
  open = [];
  expect([told(13 * MINUTE), told(15 * MINUTE)].flat()).toEqual(['resolved step-breaker-open pod-1: bank']);
});

it('a breaker holds something up from its first failure in a row too many until it is closed, and while somebody waits', async () => {
  const clock = createManualClock();
  const admission = createAdmission({ clock, random: () => 0 });
  const run = { isEvicted: false, inFlight: new Map() } as unknown as Run;
  const spent = { lost: 0, trying: false } as never;
  const attempt = async (key: string, failed: boolean) => {
    const admitted = admission.ask(run, key, spent, 'bank');
    if (admitted.kind !== 'begin') return admitted.kind;
    const error = { name: 'Error', message: 'away' };
    admitted.ended((failed ? { kind: 'failed', error, permanent: false } : { kind: 'done' }) as never);
    await clock.advance('1ms');
    return 'begun';
  };
  for (let tries = 0; tries < 5; tries += 1) await attempt(`a${tries}`, true);
  // Nobody waits yet.
  expect(admission.openBreakers()).toEqual([]);
  expect(await attempt('b', true)).toBe('wait');
  expect(admission.openBreakers()).toMatchObject([{ name: 'bank' }]);
  // The one that is let through fails as well: it is open since it was closed last.
  await clock.advance('6s');
  expect(await attempt('b', true)).toBe('begun');
  await clock.advance('6s');
  expect(admission.openBreakers()[0]?.openMs).toBeGreaterThan(11_000);
  // Whoever waited has been cancelled.
  await clock.advance('31s');
  expect(admission.openBreakers()).toEqual([]);
  expect(await attempt('c', false)).toBe('begun');
  expect(await attempt('d', false)).toBe('begun');
  expect(admission.openBreakers()).toEqual([]);
});
