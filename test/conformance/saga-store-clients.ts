/** Run messages, and what clients do: a part of test/conformance/saga-store.ts. */
import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { JournalEvent } from '../../src/saga/journal/events.ts';
import type { StartRequest } from '../../src/saga/store/store.ts';
import { commitOf, journalRow, requestOf, uniqueSaga, update, type SagaStoreBench } from './saga-store-kit.ts';

export function clientsConformance<Tx>(bench: SagaStoreBench<Tx>): void {
  describe('mail', () => {
    it('gives the mail of held runs, oldest first, without what is taken', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const rival = await bench.registered([saga]);
      const id = await bench.held(worker, saga);
      for (const name of ['a', 'b', 'c'])
        await bench.stores.client.postRunMessage(null, id, { kind: 'signal', name }, ['running']);
      const options = { sagas: [saga], limit: 5, taken: [] };
      const { runMessages, claimed } = await bench.stores.worker.collect(worker, options);
      expect(runMessages.map(({ body }) => body.kind === 'signal' && body.name)).toEqual(['a', 'b', 'c']);
      expect(claimed).toEqual([]);
      expect(await bench.stores.other.collect(rival, options)).toEqual({ runMessages: [], claimed: [], unread: [] });
      const taken = runMessages.slice(0, 2).map((each) => each.id);
      expect((await bench.stores.worker.collect(worker, { ...options, taken })).runMessages).toMatchObject([
        { body: { name: 'c' } },
      ]);
      await bench.stores.worker.commit(worker, [commitOf(id, { journal: journalRow(1), runMessagesDone: taken })]);
      expect((await bench.stores.worker.collect(worker, options)).runMessages).toMatchObject([{ body: { name: 'c' } }]);
    });

    it('says when it came, and which runs that are due have more than it gives', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const [due, other] = [await bench.held(worker, saga), await bench.held(worker, saga)];
      const before = await bench.stores.worker.now();
      await bench.stores.client.postRunMessage(null, due, { kind: 'signal', name: 'a' }, ['running']);
      await bench.stores.client.postRunMessage(null, due, { kind: 'signal', name: 'b' }, ['running']);
      const look = (runMessageBytes: number, taken: readonly string[] = []) =>
        bench.stores.worker.collect(worker, { sagas: [saga], limit: 5, taken, runMessageBytes, due: [due, other] });
      const all = await look(1_000_000);
      expect(all).toMatchObject({
        runMessages: [{ body: { name: 'a' } }, { body: { name: 'b' } }],
        claimed: [],
        unread: [],
      });
      for (const { at } of all.runMessages) {
        expect(Number.isInteger(at)).toBe(true);
        expect(at).toBeGreaterThanOrEqual(before);
        expect(at).toBeLessThanOrEqual(await bench.stores.worker.now());
      }
      const some = await look(1);
      expect(some).toMatchObject({ runMessages: [{ body: { name: 'a' } }], unread: [due] });
      expect(await look(1, [some.runMessages[0]?.id ?? ''])).toMatchObject({
        runMessages: [{ body: { name: 'b' } }],
        unread: [],
      });
    });

    it('is brought by weight: about so many bytes, one piece at least, and none of no bytes', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const id = await bench.held(worker, saga);
      const payload = 'x'.repeat(100_000);
      for (let n = 0; n < 4; n += 1)
        await bench.stores.client.postRunMessage(null, id, { kind: 'signal', name: 'go', payload }, ['running']);
      const collect = async (runMessageBytes: number, taken: readonly string[] = []) =>
        (await bench.stores.worker.collect(worker, { sagas: [saga], limit: 5, taken, runMessageBytes })).runMessages;
      expect(await collect(0)).toEqual([]);
      const first = await collect(1);
      expect(first).toHaveLength(1);
      expect(first[0]?.bytes).toBeGreaterThan(100_000);
      expect(await collect(150_000, [first[0]?.id ?? ''])).toHaveLength(2);
    });

    it('refuses signals beyond what a run may keep, in number and in bytes, and nothing else', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const id = await bench.held(worker, saga);
      const { client } = bench.stores;
      const signal = (payload: unknown) =>
        client.postRunMessage(null, id, { kind: 'signal', name: 'go', payload }, ['running', 'waiting']);
      await bench.stores.worker.commit(worker, [
        commitOf(id, { update: update('waiting', { signals: { count: 998, bytes: 1_000 } }) }),
      ]);
      expect([await signal(1), await signal(2), await signal(3)]).toMatchObject([
        { accepted: true },
        { accepted: true },
        { accepted: false, status: 'waiting', full: true },
      ]);
      await bench.stores.worker.commit(worker, [
        commitOf(id, { update: update('waiting', { signals: { count: 1, bytes: 16 * 1024 * 1024 - 1_000 } }) }),
      ]);
      expect(await signal('x'.repeat(2_000))).toMatchObject({ accepted: false, full: true });
      expect(await signal('small')).toMatchObject({ accepted: true });
      expect(await client.postRunMessage(null, id, { kind: 'cancel' }, ['waiting'])).toMatchObject({ accepted: true });
    });

    it('is there for the next worker when the commit that takes it in fails', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const id = await bench.held(worker, saga);
      await bench.stores.client.postRunMessage(null, id, { kind: 'cancel', actor: 'ada' }, ['running']);
      const { runMessages } = await bench.stores.worker.collect(worker, { sagas: [saga], limit: 5, taken: [] });
      await bench.stores.expire(worker);
      const runMessagesDone = runMessages.map((each) => each.id);
      await expect(
        bench.stores.worker.commit(worker, [commitOf(id, { journal: journalRow(1), runMessagesDone })]),
      ).rejects.toMatchObject({ code: 'HF_LEASE_LOST' });
      await bench.stores.other.takeOver();
      const next = await bench.registered([saga]);
      expect(await bench.stores.other.claim(next, [{ ...saga, limit: 1 }])).toMatchObject([
        { id, runMessages: [{ body: { kind: 'cancel', actor: 'ada' } }] },
      ]);
    });

    it('is refused by status, for an unknown run, and as a cancel behind the pivot', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const id = await bench.held(worker, saga);
      const go = { kind: 'signal', name: 'go' } as const;
      expect(await bench.stores.client.postRunMessage(null, id, go, ['waiting'])).toEqual({
        accepted: false,
        status: 'running',
        pivoted: false,
      });
      expect(await bench.stores.client.postRunMessage(null, randomUUID(), go, ['running'])).toEqual({
        accepted: false,
        status: null,
        pivoted: false,
      });
      await bench.stores.worker.commit(worker, [commitOf(id, { update: update('running', { pivoted: true }) })]);
      expect(await bench.stores.client.postRunMessage(null, id, { kind: 'cancel' }, ['running'])).toEqual({
        accepted: false,
        status: 'running',
        pivoted: true,
      });
      expect(await bench.stores.mailCount(id)).toBe(0);
      expect(await bench.stores.client.postRunMessage(null, id, go, ['running', 'waiting'])).toEqual({
        accepted: true,
        status: 'running',
      });
      expect(await bench.stores.mailCount(id)).toBe(1);
    });
  });

  describe('a cancellation', () => {
    it('is undecided while a pivot is under way, or a child has done its work', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const id = await bench.held(worker, saga);
      const cancel = () => bench.stores.client.postRunMessage(null, id, { kind: 'cancel' }, ['running', 'waiting']);
      const row = (n: number, event: JournalEvent) =>
        bench.stores.worker.commit(worker, [commitOf(id, { journal: journalRow(n, [event]) })]);
      const error = { name: 'E', message: 'no' };
      expect(await cancel()).toEqual({ accepted: true, status: 'running' });
      await row(1, { t: 'called', call: 'pay', kind: 'step', step: 'pay', pivot: true });
      expect(await cancel()).toEqual({ accepted: true, status: 'running', undecided: true });
      await row(2, { t: 'failed', call: 'pay', attempts: 1, error, outcome: 'definite' });
      expect(await cancel()).toEqual({ accepted: true, status: 'running' });
      await row(3, { t: 'called', call: 'pay:2', kind: 'step', step: 'pay', pivot: true });
      expect(await cancel()).toEqual({ accepted: true, status: 'running', undecided: true });
      await row(4, { t: 'failed', call: 'pay:2', attempts: 1, error, outcome: 'definite' });
      await row(5, { t: 'held', result: 1 });
      expect(await cancel()).toEqual({ accepted: true, status: 'running', undecided: true });
    });
  });

  describe('clients', () => {
    it('finds a run by its saga and key', async () => {
      const saga = uniqueSaga();
      const request = requestOf(saga, { key: 'o-1' });
      await bench.stores.client.start(null, [request, requestOf(uniqueSaga(), { key: 'o-1' })]);
      expect(await bench.stores.client.find(saga.saga, 'o-1')).toBe(request.id);
      expect(await bench.stores.client.find(saga.saga, 'o-2')).toBeNull();
    });

    it('starts a run once for each key of a saga', async () => {
      const saga = uniqueSaga();
      const [first, second] = [requestOf(saga, { key: 'k' }), requestOf(saga, { key: 'k' })];
      expect(await bench.stores.client.start(null, [first, second])).toEqual([
        { id: first.id, created: true },
        { id: first.id, created: false },
      ]);
      const elsewhere = requestOf(uniqueSaga(), { key: 'k' });
      expect(await bench.stores.client.start(null, [elsewhere])).toEqual([{ id: elsewhere.id, created: true }]);
      expect(await bench.view(first.id)).toMatchObject({
        ...saga,
        key: 'k',
        status: 'pending',
        result: null,
        error: null,
      });
    });

    it('starts a run once when many ask at the same time', async () => {
      const saga = uniqueSaga();
      const started = await Promise.all(
        Array.from({ length: 8 }, () => bench.stores.client.start(null, [requestOf(saga, { key: 'k' })])),
      );
      expect(started.flat().filter(({ created }) => created)).toHaveLength(1);
      expect(new Set(started.flat().map(({ id }) => id)).size).toBe(1);
    });

    it('starts and sends with the transaction it is given, and not without it', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const id = await bench.held(worker, saga);
      const [kept, lost] = [requestOf(saga), requestOf(saga)];
      const both = async (tx: Tx, one: StartRequest): Promise<void> => {
        await bench.stores.client.start(tx, [one]);
        await bench.stores.client.postRunMessage(tx, id, { kind: 'signal', name: one.id }, ['running']);
      };
      await bench.stores.transaction((tx) => both(tx, kept));
      const rolledBack = new Error('rolled back');
      await expect(
        bench.stores.transaction(async (tx) => {
          await both(tx, lost);
          throw rolledBack;
        }),
      ).rejects.toBe(rolledBack);
      expect((await bench.stores.client.read([kept.id, lost.id])).map((run) => run.id)).toEqual([kept.id]);
      expect(await bench.stores.mailCount(id)).toBe(1);
    });

    it('refuses a handle that is in no transaction, and writes nothing', async () => {
      if (bench.stores.outside === null) return;
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const id = await bench.held(worker, saga);
      const started = requestOf(saga);
      const refused = { code: 'HF_NOT_IN_TRANSACTION' };
      await expect(bench.stores.client.start(bench.stores.outside, [started])).rejects.toMatchObject(refused);
      await expect(
        bench.stores.client.postRunMessage(bench.stores.outside, id, { kind: 'undo' }, ['running']),
      ).rejects.toMatchObject(refused);
      expect(await bench.stores.client.read([started.id])).toEqual([]);
      expect(await bench.stores.mailCount(id)).toBe(0);
    });

    it('leaves out runs that are not there', async () => {
      expect(await bench.stores.client.read([randomUUID()])).toEqual([]);
      expect(await bench.stores.client.journal(randomUUID())).toEqual([]);
    });
  });
}
