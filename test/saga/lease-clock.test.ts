/**
 * The lease by the worker's own clock: it counts from when the prolonging was asked for, and behind it nothing is begun, whatever the store
 * would say.
 */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { silentLogger } from '../../src/runtime/log.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import { createRegistry, saga, type Saga } from '../../src/saga/definition/definition.ts';
import { DEFAULT_JOURNAL_LIMITS } from '../../src/saga/journal/growth.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { openLeaseSession } from '../../src/saga/worker/lease-session.ts';
import { WorkerLease } from '../../src/saga/worker/worker-lease.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';
import { createMemorySagaStore } from '../../src/testing/saga/memory-saga-store.ts';
import { newRun } from '../conformance/saga-store-kit.ts';
import { gate } from './lab.ts';

const LEASE_MS = 1_000;

/** A clock of the worker's own, which stands still until it is set; that of the store stands still. */
function scene() {
  const at = { ms: 0 };
  const clock: Clock = { now: () => at.ms, monotonic: () => at.ms, sleep: async () => {} };
  return { at, clock, store: createMemorySagaStore({ clock: createManualClock() }) };
}

describe('a lease', () => {
  it('counts from when it was asked for, not from when the answer came', async () => {
    const { at, clock, store } = scene();
    const lease = new WorkerLease({ store, leaseMs: LEASE_MS, keptMs: LEASE_MS, clock, keeper: null });
    await lease.register({ name: 'w', sagas: [] });
    const renew = store.renew.bind(store);
    store.renew = async (...parameters) => {
      at.ms += 400;
      return renew(...parameters);
    };
    at.ms = 500;
    await lease.renew(false, LEASE_MS);
    at.ms = 500 + LEASE_MS - 1;
    expect(lease.isOver).toBe(false);
    at.ms = 500 + LEASE_MS;
    expect(lease.isOver).toBe(true);
  });

  it('is not prolonged by an answer that does not come', async () => {
    const { at, clock, store } = scene();
    const lease = new WorkerLease({ store, leaseMs: LEASE_MS, keptMs: LEASE_MS, clock, keeper: null });
    await lease.register({ name: 'w', sagas: [] });
    store.renew = () => Promise.reject(new Error('no answer'));
    at.ms = 900;
    await expect(lease.renew(false, LEASE_MS)).rejects.toThrow('no answer');
    at.ms = LEASE_MS;
    expect(lease.isOver).toBe(true);
  });

  it('that is to be shorter may be so from when that was asked for', async () => {
    const { at, clock, store } = scene();
    const lease = new WorkerLease({ store, leaseMs: 8 * LEASE_MS, keptMs: LEASE_MS, clock, keeper: null });
    await lease.register({ name: 'w', sagas: [] });
    const renew = store.renew.bind(store);
    store.renew = () => Promise.reject(new Error('no answer'));
    await expect(lease.renew(false, LEASE_MS)).rejects.toThrow('no answer');
    at.ms = LEASE_MS;
    expect(lease.isOver).toBe(true);
    store.renew = renew;
    await lease.renew(false, 2 * LEASE_MS);
    at.ms += LEASE_MS;
    expect(lease.isOver).toBe(false);
  });

  it('is kept by a thread while the event loop stands still', async () => {
    const { at, clock, store } = scene();
    const keeper = { keep: () => {}, held: () => {}, close: async () => {}, sinceKeptMs: () => at.ms - 900 };
    const lease = new WorkerLease({ store, leaseMs: LEASE_MS, keptMs: LEASE_MS, clock, keeper });
    await lease.register({ name: 'w', sagas: [] });
    at.ms = 900 + LEASE_MS - 1;
    expect(lease.isOver).toBe(false);
    at.ms = 900 + LEASE_MS;
    expect(lease.isOver).toBe(true);
  });

  it('tells the time of the store, never ahead of it', async () => {
    const { at, clock, store } = scene();
    const lease = new WorkerLease({ store, leaseMs: LEASE_MS, keptMs: LEASE_MS, clock, keeper: null });
    await lease.register({ name: 'w', sagas: [] });
    const then = lease.now();
    at.ms = 300;
    expect(lease.now() - then).toBe(300);
  });
});

describe('an effect', () => {
  it.each([
    ['begins while the lease lasts', LEASE_MS - 1, 1],
    ['does not once it is over by the own clock, although the store has just committed', LEASE_MS, 0],
  ])('%s', async (_what, standstillMs, effects) => {
    const { at, clock, store } = scene();
    let begun = 0;
    const ended = gate();
    const work = saga({
      name: 'work',
      input: z.null(),
      steps: {
        act: step({
          run() {
            begun += 1;
            ended.open();
          },
        }),
      },
      run: ({ steps }) => steps.act(),
    });
    const session = await openLeaseSession({
      store,
      name: 'w',
      registry: createRegistry([work], 'test'),
      leaseMs: LEASE_MS,
      keptMs: LEASE_MS,
      lapsed: [],
      concurrency: 10,
      mostWaiting: 10,
      settings: { maxBytes: 10_000, replyTo: 'replies', ...DEFAULT_JOURNAL_LIMITS },
      clock,
      limits: { add: () => () => {} },
      random: () => 0,
      log: silentLogger,
      crashPoint: (point) => {
        // The process stands still just after the commit that says what is begun.
        if (point === 'saga.commit:after' && begun === 0) at.ms = standstillMs;
      },
      keeper: null,
      onLeft: () => {},
      onTimer: () => {},
      onCommit: () => {},
      onPosted: () => {},
      onOver: () => ended.open(),
    });
    void session.engine.start(work as unknown as Saga, newRun({ saga: 'work', version: 1 }), 'null').catch(() => {});
    await ended.promise;
    expect(begun).toBe(effects);
    session.end(new Error('over'));
  });
});
