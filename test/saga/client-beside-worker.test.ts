/**
 * A client in the process of a worker: starts that the worker commits itself, and results that it tells; and how results are waited for.
 */
import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createSagasOn } from '../../src/saga/client/client.ts';
import { createRegistry, saga } from '../../src/saga/definition/definition.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';
import { createMemorySagaStore } from '../../src/testing/saga/memory-saga-store.ts';
import { commitOf, LEASE_MS, update } from '../conformance/saga-store-kit.ts';

const order = saga({
  name: 'order',
  input: z.object({ id: z.string() }),
  steps: {},
  run: async ({ input }) => ({ ordered: input.id }),
});

describe('a client beside a worker', () => {
  const setUp = () => {
    const clock = createManualClock();
    const store = createMemorySagaStore({ clock });
    let reads = 0;
    const counting = { ...store, read: (ids: readonly string[]) => ((reads += 1), store.read(ids)) };
    const fast: string[] = [];
    const { sagas, watch } = createSagasOn(counting, {
      registry: createRegistry([order], 'test'),
      clock,
      where: 'test',
      async startFast(request) {
        fast.push(request.id);
        await store.start(null, [request]);
      },
    });
    return { clock, store, sagas, watch, fast, reads: () => reads };
  };
  const view = {
    saga: 'order',
    version: 1,
    key: null,
    reason: null,
    pivoted: false,
    error: null,
    startedAt: 0,
    finishedAt: 1,
    growth: 0,
    refused: [],
    skipped: [],
  };

  it('hands it the starts with neither key nor transaction', async () => {
    const { store, sagas, fast } = setUp();
    const { id } = await sagas.start(order, { id: 'o' });
    await sagas.start(order, { id: 'o' }, { key: 'k' });
    await store.inTransaction((tx) => sagas.start(tx, order, { id: 'o' }));
    expect(fast).toEqual([id]);
    expect(store.snapshot().runs).toHaveLength(3);
  });

  it('is told of ends, and asks nobody', async () => {
    const { sagas, watch, reads } = setUp();
    const handle = await sagas.start(order, { id: 'o' });
    const result = handle.result();
    expect(watch.waitsFor(handle.id)).toBe(true);
    watch.tell({ ...view, id: handle.id, status: 'running', result: null });
    watch.tell({ ...view, id: handle.id, status: 'completed', result: { ordered: 'o' } });
    expect(await result).toEqual({ ordered: 'o' });
    expect([reads(), watch.waitsFor(handle.id)]).toEqual([0, false]);
  });

  it('looks at once for a run whose end was noted before anybody waited', async () => {
    const { store, sagas, watch, reads } = setUp();
    const handle = await sagas.start(order, { id: 'o' });
    const worker = randomUUID();
    await store.register({ id: worker, name: 'w', sagas: [], leaseMs: LEASE_MS });
    await store.claim(worker, [{ saga: 'order', version: 1, limit: 1 }]);
    await store.commit(worker, [commitOf(handle.id, { update: update('completed', { result: '7' }) })]);
    watch.note(handle.id);
    expect(await handle.result()).toBe(7);
    expect(reads()).toBe(1);
  });

  it('asks for all runs in one query, more and more seldom, and no more when nobody waits', async () => {
    const { clock, sagas, reads } = setUp();
    const handles = await Promise.all(['a', 'b', 'c'].map((id) => sagas.start(order, { id })));
    const stop = new AbortController();
    const waiting = handles.map((handle) => handle.result({ signal: stop.signal }).catch(() => 'stopped'));
    await clock.whenSleeping();
    expect(reads()).toBe(0);
    await clock.advance(20);
    expect(reads()).toBe(1);
    await clock.advance('1m');
    // 20 ms, growing by half up to a second: about ten looks in the first three seconds, then one each second.
    expect(reads()).toBeGreaterThan(60);
    expect(reads()).toBeLessThan(80);
    stop.abort();
    expect(await Promise.all(waiting)).toEqual(['stopped', 'stopped', 'stopped']);
    await new Promise((resolve) => setImmediate(resolve));
    expect(clock.sleeping).toBe(0);
    const before = reads();
    await clock.advance('1m');
    expect([reads(), clock.sleeping]).toEqual([before, 0]);
  });
});
