/** Leases, claims and transaction steps: the part of test/conformance/saga-store.ts about who may write. */
import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { SagaVersion } from '../../src/saga/store/store.ts';
import {
  commitOf,
  journalRow,
  LEASE_MS,
  messageText,
  newRun,
  requestOf,
  startOf,
  uniqueSaga,
  update,
  type SagaStoreBench,
} from './saga-store-kit.ts';

export function workersConformance<Tx>(bench: SagaStoreBench<Tx>): void {
  describe('lease and fence', () => {
    it('refuses the writes of a worker that was taken over, and writes nothing', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const run = await bench.held(worker, saga);
      await bench.stores.expire(worker);
      await bench.stores.other.takeOver();
      const message = randomUUID();
      const child = newRun(saga, { held: false, status: 'pending' });
      const late = commitOf(run, {
        journal: journalRow(1),
        update: update('completed'),
        runMessages: [{ runId: run, body: { kind: 'undo' } }],
        children: [{ ...child, journal: '[]' }],
        messages: [messageText(message)],
      });
      await expect(bench.stores.worker.commit(worker, [late])).rejects.toMatchObject({ code: 'HF_LEASE_LOST' });
      expect(await bench.stores.client.journal(run)).toHaveLength(1);
      expect(await bench.view(run)).toMatchObject({ status: 'running' });
      expect(await bench.stores.client.read([child.id])).toEqual([]);
      expect(await bench.stores.mailCount(run)).toBe(0);
      expect(await bench.stores.messages()).not.toContain(message);
    });

    it('refuses everything once the lease is over, taken over or not', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const run = await bench.held(worker, saga);
      await bench.stores.client.start(null, [requestOf(saga)]);
      await bench.stores.expire(worker);
      const lost = { code: 'HF_LEASE_LOST' };
      await expect(
        bench.stores.worker.commit(worker, [commitOf(run, { journal: journalRow(1) })]),
      ).rejects.toMatchObject(lost);
      await expect(bench.stores.worker.renew(worker, LEASE_MS)).rejects.toMatchObject(lost);
      await expect(bench.stores.worker.claim(worker, [{ ...saga, limit: 5 }])).rejects.toMatchObject(lost);
      const late = async () => commitOf(run, { journal: journalRow(1) });
      await expect(bench.stores.worker.transaction(worker, late)).rejects.toMatchObject(lost);
      await expect(bench.stores.worker.commit(randomUUID(), [startOf(saga)])).rejects.toMatchObject(lost);
      expect(await bench.stores.client.journal(run)).toHaveLength(1);
    });

    it('refuses what changes a run that another worker holds', async () => {
      const saga = uniqueSaga();
      const [mine, other] = [await bench.registered([saga]), await bench.registered([saga])];
      const run = await bench.held(other, saga);
      const stolen = commitOf(run, { journal: journalRow(1), update: update('completed') });
      await expect(bench.stores.worker.commit(mine, [stolen])).rejects.toBeInstanceOf(Error);
      expect(await bench.view(run)).toMatchObject({ status: 'running' });
      expect(await bench.stores.client.journal(run)).toHaveLength(1);
    });

    it('frees the runs of a worker whose lease is over, and of no other', async () => {
      // What other tests left.
      await bench.stores.other.takeOver();
      const saga = uniqueSaga();
      const [dead, alive] = [await bench.registered([saga]), await bench.registered([saga])];
      const [left, kept] = [await bench.held(dead, saga), await bench.held(alive, saga)];
      await bench.stores.expire(dead);
      expect(await bench.stores.other.takeOver()).toEqual({ workers: 1, runs: 1 });
      const claimed = await bench.stores.other.claim(alive, [{ ...saga, limit: 5 }]);
      expect(claimed).toMatchObject([{ id: left, lost: 1, claims: 2 }]);
      await bench.stores.worker.commit(alive, [commitOf(kept, { journal: journalRow(1) })]);
      expect(await bench.stores.other.takeOver()).toEqual({ workers: 0, runs: 0 });
    });

    it('prolongs a lease on its own clock', async () => {
      const worker = await bench.registered([]);
      const before = await bench.stores.worker.now();
      expect(await bench.stores.worker.renew(worker, LEASE_MS)).toBeGreaterThanOrEqual(before);
    });

    it('lets a worker that retires give its runs back at once, without counting them as lost', async () => {
      const saga = uniqueSaga();
      const [leaving, next] = [await bench.registered([saga]), await bench.registered([saga])];
      const run = await bench.held(leaving, saga);
      await bench.stores.worker.retire(leaving, false);
      await bench.stores.worker.retire(leaving, false);
      expect(await bench.stores.other.claim(next, [{ ...saga, limit: 5 }])).toMatchObject([{ id: run, lost: 0 }]);
      await expect(bench.stores.worker.renew(leaving, LEASE_MS)).rejects.toMatchObject({ code: 'HF_LEASE_LOST' });
    });

    it('counts as lost the runs of one that retires before it has recorded what became of them', async () => {
      const saga = uniqueSaga();
      const [leaving, next] = [await bench.registered([saga]), await bench.registered([saga])];
      const run = await bench.held(leaving, saga);
      await bench.stores.worker.retire(leaving, true);
      expect(await bench.stores.other.claim(next, [{ ...saga, limit: 5 }])).toMatchObject([{ id: run, lost: 1 }]);
    });
  });

  describe('what a worker holds', () => {
    it('is told, and let go run by run, due after the delay, by nobody else', async () => {
      const saga = uniqueSaga();
      const [worker, other] = [await bench.registered([saga]), await bench.registered([saga])];
      const [one, two] = [await bench.held(worker, saga), await bench.held(worker, saga)];
      expect((await bench.stores.worker.held(worker)).toSorted()).toEqual([one, two].toSorted());
      await bench.stores.worker.letGo(other, [one], 0);
      expect(await bench.stores.worker.held(worker)).toHaveLength(2);
      await bench.stores.worker.letGo(worker, [one], 0);
      await bench.stores.worker.letGo(worker, [two], 3_600_000);
      expect(await bench.stores.worker.held(worker)).toEqual([]);
      const claimed = await bench.stores.worker.claim(other, [{ ...saga, limit: 5 }]);
      expect(claimed.map(({ id, lost }) => [id, lost])).toEqual([[one, 0]]);
    });
  });

  describe('claims', () => {
    it('gives each run to one worker, however many ask at once', async () => {
      const saga = uniqueSaga();
      const workers = await Promise.all([1, 2, 3, 4].map(() => bench.registered([saga])));
      const requests = Array.from({ length: 60 }, () => requestOf(saga));
      await bench.stores.client.start(null, requests);
      const claims: string[] = [];
      await Promise.all(
        workers.map(async (worker, index) => {
          const store = index % 2 === 0 ? bench.stores.worker : bench.stores.other;
          for (let some; (some = await store.claim(worker, [{ ...saga, limit: 7 }])).length > 0;)
            claims.push(...some.map(({ id }) => id));
        }),
      );
      expect(claims.toSorted()).toEqual(requests.map(({ id }) => id).toSorted());
    });

    it('claims with the journal, the mail and what is known of the run', async () => {
      const saga = uniqueSaga(3);
      const worker = await bench.registered([saga]);
      const started = requestOf(saga, { deadlineMs: 5_000 });
      await bench.stores.client.start(null, [started]);
      await bench.stores.client.postRunMessage(null, started.id, { kind: 'signal', name: 'go', payload: { a: [1] } }, [
        'pending',
      ]);
      const [run] = await bench.stores.worker.claim(worker, [{ ...saga, limit: 1 }]);
      const [first] = run?.journal ?? [];
      const deadlineAt = (first?.at ?? 0) + 5_000;
      expect(run).toMatchObject({
        ...saga,
        id: started.id,
        status: 'pending',
        reason: null,
        pivoted: false,
        claims: 1,
        lost: 0,
        parent: null,
      });
      expect(run?.deadlineAt).toBe(deadlineAt);
      expect(run?.journal).toMatchObject([
        { n: 0, at: deadlineAt - 5_000, events: [{ t: 'started', input: { n: 1 }, deadlineAt }] },
      ]);
      expect(run?.runMessages).toMatchObject([
        { runId: started.id, body: { kind: 'signal', name: 'go', payload: { a: [1] } } },
      ]);
    });

    it('weighs what it claims: no more than there is room for, and one at least', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const input = JSON.stringify('x'.repeat(100_000));
      await bench.stores.client.start(
        null,
        Array.from({ length: 5 }, () => requestOf(saga, { input })),
      );
      const wanted = [{ ...saga, limit: 5 }];
      const claim = (bytes: number) => bench.stores.worker.claim(worker, wanted, { bytes });
      expect(await claim(250_000)).toHaveLength(2);
      expect(await claim(10)).toHaveLength(1);
      expect(await claim(1_000_000)).toHaveLength(2);
    });

    it('keeps to the limit of each version, and to the versions asked for', async () => {
      const [one, two] = [uniqueSaga(), uniqueSaga()];
      const newer = { ...one, version: 2 };
      const worker = await bench.registered([one, two]);
      await bench.stores.client.start(
        null,
        [one, one, one, two, two, newer].map((saga) => requestOf(saga)),
      );
      const claimed = await bench.stores.worker.claim(worker, [
        { ...one, limit: 2 },
        { ...two, limit: 5 },
      ]);
      const of = (saga: SagaVersion) =>
        claimed.filter((run) => run.saga === saga.saga && run.version === saga.version).length;
      expect([of(one), of(two), of(newer)]).toEqual([2, 2, 0]);
      expect(await bench.stores.worker.claim(worker, [{ ...one, limit: 0 }])).toEqual([]);
    });

    it('gives the oldest first, and nothing before it is due', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const now = await bench.stores.worker.now();
      const runs = [await bench.held(worker, saga), await bench.held(worker, saga), await bench.held(worker, saga)];
      const wakes = [now + 3_600_000, now - 1_000, now - 2_000];
      for (const [index, id] of runs.entries())
        await bench.stores.worker.commit(worker, [
          commitOf(id, { update: update('waiting', { release: { wakeAt: wakes[index] ?? 0 } }) }),
        ]);
      expect(await bench.stores.worker.nextDue([saga])).toBe(now - 2_000);
      expect(await bench.stores.worker.claim(worker, [{ ...saga, limit: 1 }])).toMatchObject([{ id: runs[2] }]);
      expect(await bench.stores.worker.claim(worker, [{ ...saga, limit: 5 }])).toMatchObject([
        { id: runs[1], status: 'waiting' },
      ]);
      expect(await bench.stores.worker.nextDue([saga])).toBe(now + 3_600_000);
      expect(await bench.stores.worker.nextDue([uniqueSaga()])).toBeNull();
    });

    it('gives nobody the mail of a run that another worker holds', async () => {
      const saga = uniqueSaga();
      const [mine, other] = [await bench.registered([saga]), await bench.registered([saga])];
      const id = await bench.held(other, saga);
      await bench.stores.client.postRunMessage(null, id, { kind: 'undo' }, ['running']);
      const options = { sagas: [saga], limit: 5, taken: [] };
      const nothing = { runMessages: [], claimed: [], unread: [] };
      expect(await bench.stores.worker.collect(mine, options)).toEqual(nothing);
      expect(await bench.stores.worker.collect(other, options)).toMatchObject({ runMessages: [{ runId: id }] });
    });

    it('leaves what waits for mail alone until mail comes', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const id = await bench.held(worker, saga);
      await bench.stores.worker.commit(worker, [
        commitOf(id, { update: update('waiting', { release: { wakeAt: null } }) }),
      ]);
      expect(await bench.stores.worker.claim(worker, [{ ...saga, limit: 5 }])).toEqual([]);
      const nothing = { runMessages: [], claimed: [], unread: [] };
      const options = { sagas: [saga], limit: 5, taken: [] };
      expect(await bench.stores.worker.collect(worker, options)).toEqual(nothing);
      await bench.stores.client.postRunMessage(null, id, { kind: 'undo' }, ['waiting']);
      expect(await bench.stores.worker.collect(worker, { ...options, sagas: [uniqueSaga()] })).toEqual(nothing);
      expect(await bench.stores.worker.collect(worker, { ...options, limit: 0 })).toEqual(nothing);
      expect(await bench.stores.worker.collect(worker, options)).toMatchObject({
        runMessages: [],
        claimed: [{ id, claims: 2, runMessages: [{ body: { kind: 'undo' } }] }],
      });
    });
  });

  describe('transaction steps', () => {
    it('writes what the body returns, once it has resolved', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const id = await bench.held(worker, saga);
      await bench.stores.worker.transaction(worker, async () =>
        commitOf(id, { journal: journalRow(1), update: update('completed') }),
      );
      expect(await bench.view(id)).toMatchObject({ status: 'completed' });
      expect(await bench.stores.client.journal(id)).toHaveLength(2);
    });

    it('rejects with what the body rejects with, and writes nothing', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const id = await bench.held(worker, saga);
      const failure = new Error('no');
      await expect(bench.stores.worker.transaction(worker, () => Promise.reject(failure))).rejects.toBe(failure);
      expect(await bench.stores.client.journal(id)).toHaveLength(1);
    });

    it('writes nothing when the worker is taken over while the body runs', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const id = await bench.held(worker, saga);
      const late = bench.stores.worker.transaction(worker, async () => {
        await bench.stores.expire(worker);
        expect(await bench.stores.other.takeOver()).toMatchObject({ runs: 1 });
        return commitOf(id, { journal: journalRow(1) });
      });
      await expect(late).rejects.toMatchObject({ code: 'HF_LEASE_LOST' });
      expect(await bench.stores.client.journal(id)).toHaveLength(1);
    });
  });
}
