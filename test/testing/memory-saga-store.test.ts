/**
 * The in-memory store of sagas: the duties of a store, and what it offers to tests beside them.
 */
import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createManualClock } from '../../src/testing/manual-clock.ts';
import { createMemorySagaStore, type MemorySagaStoreOptions } from '../../src/testing/saga/memory-saga-store.ts';
import { commitOf, LEASE_MS, messageText, newRun, startOf, uniqueSaga, update } from '../conformance/saga-store-kit.ts';
import { sagaStoreConformance } from '../conformance/saga-store.ts';

sagaStoreConformance({
  name: 'memory',
  create: async () => {
    const store = createMemorySagaStore({ clock: createManualClock() });
    const outside = store.begin();
    outside.rollback();
    return {
      worker: store,
      other: store,
      client: store,
      expire: async (workerId) => void (await store.renew(workerId, 0)),
      transaction: (fn) => store.inTransaction(fn),
      outside,
      messages: async () => store.messages.map(({ id }) => id),
      mailCount: async (runId) => store.snapshot().runs.find(({ id }) => id === runId)?.runMessages.length ?? 0,
      dispose: async () => {},
    };
  },
});

describe('what the in-memory store of sagas offers to tests', () => {
  const saga = uniqueSaga();
  async function worked(options: MemorySagaStoreOptions = {}) {
    const clock = createManualClock();
    const store = createMemorySagaStore({ clock, ...options });
    const worker = randomUUID();
    await store.register({ id: worker, name: 'test', sagas: [saga], leaseMs: LEASE_MS });
    return { clock, store, worker };
  }

  it('lets a lease end by its clock alone', async () => {
    const { clock, store, worker } = await worked();
    const start = startOf(saga);
    await store.commit(worker, [start]);
    await clock.advance(LEASE_MS);
    await expect(store.commit(worker, [commitOf(start.runId)])).rejects.toMatchObject({ code: 'HF_LEASE_LOST' });
    await expect(store.renew(worker, LEASE_MS)).rejects.toMatchObject({ code: 'HF_LEASE_LOST' });
    expect(await store.takeOver()).toEqual({ workers: 1, runs: 1 });
    expect(store.snapshot()).toMatchObject({ runs: [{ worker: null, lost: 1, wakeAt: clock.now() }], workers: [] });
  });

  it("writes nothing of a run's commit of which a part is refused", async () => {
    const { store, worker } = await worked();
    const start = startOf(saga);
    await store.commit(worker, [start]);
    const before = store.snapshot();
    const bad = commitOf(start.runId, {
      update: update('completed'),
      children: [{ ...newRun(saga), journal: '[]' }],
      runMessages: [{ runId: start.runId, body: { kind: 'undo' } }],
      messages: [messageText(randomUUID()), '{'],
    });
    await expect(store.commit(worker, [bad])).rejects.toMatchObject({ code: 'HF_COMMIT_REFUSED' });
    expect(store.snapshot()).toEqual(before);
    expect(store.messages).toEqual([]);
  });

  it('gives back values as they were stored, and to each reader its own', async () => {
    const { store, worker } = await worked();
    const start = startOf(saga, {}, { later: 1, a: { zz: [1], b: 2 } });
    await store.commit(worker, [start]);
    const [row] = await store.journal(start.runId);
    expect(JSON.stringify(row?.events)).toBe('[{"t":"started","input":{"later":1,"a":{"zz":[1],"b":2}}}]');
    Object.assign(row?.events[0] ?? {}, { t: 'mine' });
    expect(await store.journal(start.runId)).toMatchObject([{ events: [{ t: 'started' }] }]);
    const broken = commitOf(start.runId, { update: update('completed', { result: '{' }) });
    await expect(store.commit(worker, [broken])).rejects.toMatchObject({ code: 'HF_COMMIT_REFUSED' });
    expect(await store.read([start.runId])).toMatchObject([{ status: 'running', result: null }]);
  });

  it('tells of messages after their commit, and of changes', async () => {
    const told: unknown[] = [];
    const { store, worker } = await worked({ onMessage: (message) => told.push([message.id, store.messages.length]) });
    let changes = 0;
    const off = store.onChange(() => (changes += 1));
    const changed = store.whenChanged();
    const id = randomUUID();
    await store.commit(worker, [{ ...startOf(saga), messages: [messageText(id), messageText(randomUUID())] }]);
    await changed;
    expect(told).toMatchObject([
      [id, 2],
      [expect.any(String), 2],
    ]);
    off();
    await store.retire(worker, false);
    expect(changes).toBe(1);
    expect(store.messages[0]).toEqual({ id, topic: 'note.taken', key: null, payload: { n: 1 }, headers: {} });
  });

  it('says what a transaction step lacks', async () => {
    const { store, worker } = await worked();
    const start = startOf(saga);
    await store.commit(worker, [start]);
    const step = store.transaction(worker, async (tx) => {
      await tx.query('SELECT 1');
      return commitOf(start.runId);
    });
    await expect(step).rejects.toMatchObject({ code: 'HF_TX_UNSUPPORTED' });
    await store.transaction(worker, async () => commitOf(start.runId, { update: update('completed') }));
    expect(await store.read([start.runId])).toMatchObject([{ status: 'completed' }]);
  });

  it('ends the transactions of steps together with their commit', async () => {
    const ended: unknown[] = [];
    let made = 0;
    const { clock, store, worker } = await worked({
      transaction: () => (made += 1),
      endTransaction: (tx, outcome) => ended.push([tx, outcome]),
    });
    const start = startOf(saga);
    await store.commit(worker, [start]);
    await store.transaction(worker, async () => commitOf(start.runId));
    await expect(store.transaction(worker, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    const late = store.transaction(worker, async () => {
      await clock.advance(LEASE_MS);
      return commitOf(start.runId);
    });
    await expect(late).rejects.toMatchObject({ code: 'HF_LEASE_LOST' });
    expect(ended).toEqual([
      [1, 'commit'],
      [2, 'rollback'],
      [3, 'rollback'],
    ]);
  });

  it('lets the second of two transactions with one key wait for the first', async () => {
    const { store } = await worked();
    const request = (id: string) => ({ ...saga, id, key: 'order-1', input: '1', deadlineMs: null });
    const [first, second] = [store.begin(), store.begin()];
    const [one, two, three] = [randomUUID(), randomUUID(), randomUUID()];
    expect(await store.start(first, [request(one), request(three)])).toEqual([
      { id: one, created: true },
      { id: one, created: false },
    ]);
    const waiting = store.start(second, [request(two)]);
    expect(await store.read([one])).toEqual([]);
    first.rollback();
    expect(await waiting).toEqual([{ id: two, created: true }]);
    second.commit();
    expect(await store.start(null, [request(one)])).toEqual([{ id: two, created: false }]);
    await expect(store.start(first, [request(one)])).rejects.toMatchObject({ code: 'HF_NOT_IN_TRANSACTION' });
  });
});
