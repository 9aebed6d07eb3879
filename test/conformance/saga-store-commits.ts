/** What a commit writes and what it refuses: a part of test/conformance/saga-store.ts. */
import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { GroupCommitError, RevokedError } from '../../src/saga/store/commit-error.ts';
import {
  commitOf,
  journalRow,
  messageText,
  newRun,
  startOf,
  uniqueSaga,
  update,
  type SagaStoreBench,
} from './saga-store-kit.ts';

export function commitsConformance<Tx>(bench: SagaStoreBench<Tx>): void {
  describe('commits', () => {
    it('takes folded rows out of the journal, and tells how full it is', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const run = startOf(saga);
      await bench.stores.worker.commit(worker, [run]);
      for (const n of [1, 2, 3])
        await bench.stores.worker.commit(worker, [commitOf(run.runId, { journal: journalRow(n) })]);
      await bench.stores.worker.commit(worker, [
        commitOf(run.runId, { journal: journalRow(4), update: update('running', { folded: [1, 3], growth: 80 }) }),
      ]);
      expect((await bench.stores.client.journal(run.runId)).map(({ n }) => n)).toEqual([0, 2, 4]);
      expect(await bench.view(run.runId)).toMatchObject({ growth: 80 });
    });

    it('tells what came too late, until it is told otherwise', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const run = startOf(saga);
      await bench.stores.worker.commit(worker, [run]);
      expect(await bench.view(run.runId)).toMatchObject({ refused: [] });
      const refused = [{ what: 'cancel', actor: 'ada', reason: 'changed "my" mind' }] as const;
      const late = commitOf(run.runId, { journal: journalRow(1), update: update('running', { refused }) });
      await bench.stores.worker.commit(worker, [late]);
      await bench.stores.worker.commit(worker, [
        commitOf(run.runId, { journal: journalRow(2), update: update('waiting') }),
      ]);
      expect(await bench.view(run.runId)).toMatchObject({ status: 'waiting', refused });
    });

    it('writes all parts for many runs', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const [first, second] = [startOf(saga), startOf(saga)];
      await bench.stores.worker.commit(worker, [first, second]);
      const message = randomUUID();
      await bench.stores.worker.commit(worker, [
        commitOf(first.runId, {
          journal: journalRow(1),
          update: update('completed', { result: '{"b":1,"a":[true,null]}' }),
        }),
        commitOf(second.runId, {
          journal: journalRow(1),
          update: update('compensating', { reason: 'failed', pivoted: true, error: '{"name":"E","message":"m"}' }),
          messages: [messageText(message)],
        }),
      ]);
      expect(await bench.stores.client.read([second.runId, first.runId])).toMatchObject([
        {
          id: second.runId,
          status: 'compensating',
          reason: 'failed',
          pivoted: true,
          error: { name: 'E', message: 'm' },
          finishedAt: null,
        },
        { id: first.runId, status: 'completed', result: { b: 1, a: [true, null] } },
      ]);
      expect((await bench.view(first.runId))?.finishedAt).toBeGreaterThan(0);
      expect((await bench.stores.client.journal(first.runId)).map(({ n }) => n)).toEqual([0, 1]);
      expect(await bench.stores.messages()).toContain(message);
    });

    it('leaves the error as it is when none is given, until the run goes forward again', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const id = await bench.held(worker, saga);
      await bench.stores.worker.commit(worker, [
        commitOf(id, { update: update('stuck', { error: '{"name":"E","message":"m"}' }) }),
      ]);
      await bench.stores.worker.commit(worker, [commitOf(id, { update: update('compensating') })]);
      expect(await bench.view(id)).toMatchObject({ status: 'compensating', error: { name: 'E', message: 'm' } });
      const other = await bench.held(worker, saga);
      await bench.stores.worker.commit(worker, [
        commitOf(other, { update: update('stuck', { error: '{"name":"E","message":"m"}' }) }),
      ]);
      await bench.stores.worker.commit(worker, [commitOf(other, { update: update('running') })]);
      expect(await bench.view(other)).toMatchObject({ status: 'running', error: null });
    });

    it('keeps a run from leaving its end, and lets its journal grow', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const id = await bench.held(worker, saga);
      await bench.stores.worker.commit(worker, [commitOf(id, { journal: journalRow(1), update: update('completed') })]);
      await bench.stores.client.postRunMessage(null, id, { kind: 'signal', name: 'late' }, ['completed']);
      const options = { sagas: [saga], limit: 5, taken: [] };
      const { claimed } = await bench.stores.worker.collect(worker, options);
      expect(claimed).toMatchObject([{ id, status: 'completed', runMessages: [{ body: { name: 'late' } }] }]);
      await expect(
        bench.stores.worker.commit(worker, [commitOf(id, { journal: journalRow(2), update: update('running') })]),
      ).rejects.toBeInstanceOf(Error);
      const runMessagesDone = (claimed[0]?.runMessages ?? []).map((runMessage) => runMessage.id);
      await bench.stores.worker.commit(worker, [
        commitOf(id, {
          journal: journalRow(2),
          runMessagesDone,
          update: update('completed', { release: { wakeAt: null } }),
        }),
      ]);
      expect(await bench.view(id)).toMatchObject({ status: 'completed' });
      expect(await bench.stores.client.journal(id)).toHaveLength(3);
      expect(await bench.stores.worker.collect(worker, options)).toEqual({ runMessages: [], claimed: [], unread: [] });
      expect(await bench.stores.worker.claim(worker, [{ ...saga, limit: 5 }])).toEqual([]);
    });

    it('refuses the run whose data are bad, names it, and commits the others', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const ids = await Promise.all(Array.from({ length: 9 }, () => bench.held(worker, saga)));
      const message = randomUUID();
      // A journal row that is there already, a run that is there already, and a message that is there already.
      const bad = [
        commitOf(ids[2] ?? '', { journal: journalRow(0), messages: [messageText(message)] }),
        startOf(saga, { id: ids[0] ?? '' }),
      ];
      const good = ids.filter((_, index) => index !== 2).map((id) => commitOf(id, { journal: journalRow(1) }));
      const refused = await bench.stores.worker
        .commit(worker, [...good.slice(0, 4), ...bad, ...good.slice(5)])
        .catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(GroupCommitError);
      expect([...(refused as GroupCommitError).failures.keys()].toSorted()).toEqual(
        [String(ids[2]), String(ids[0])].toSorted(),
      );
      for (const { runId } of [...good.slice(0, 4), ...good.slice(5)])
        if (runId !== ids[0]) expect(await bench.stores.client.journal(runId)).toHaveLength(2);
      expect(await bench.stores.client.journal(ids[2] ?? '')).toHaveLength(1);
      expect(await bench.stores.messages()).not.toContain(message);
    });

    it.each(['cancel', 'undo'] as const)('refuses to let a run go on that is to be compensated: %s', async (kind) => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const [wanted, other] = [await bench.held(worker, saga), await bench.held(worker, saga)];
      await bench.stores.client.postRunMessage(null, wanted, { kind }, ['running']);
      const end = (id: string) =>
        commitOf(id, { journal: journalRow(1), update: update('completed', { guarded: true }) });
      const refused = await bench.stores.worker
        .commit(worker, [end(wanted), end(other)])
        .catch((error: unknown) => error);
      expect((refused as GroupCommitError).failures.get(wanted)).toBeInstanceOf(RevokedError);
      expect(await bench.view(wanted)).toMatchObject({ status: 'running' });
      expect(await bench.view(other)).toMatchObject({ status: 'completed' });
      // What is not about to end, or to begin its pivot, goes on.
      await bench.stores.worker.commit(worker, [
        commitOf(wanted, { journal: journalRow(1), update: update('running') }),
      ]);
    });

    it('refuses a message that is in the outbox already', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const [one, two] = [await bench.held(worker, saga), await bench.held(worker, saga)];
      const messages = [messageText(randomUUID())];
      await bench.stores.worker.commit(worker, [commitOf(one, { journal: journalRow(1), messages })]);
      const refused = await bench.stores.worker
        .commit(worker, [
          commitOf(two, { journal: journalRow(1), messages }),
          commitOf(one, { journal: journalRow(2) }),
        ])
        .catch((error: unknown) => error);
      expect((refused as GroupCommitError).failures.get(two)).toMatchObject({ code: 'HF_MESSAGE_DUPLICATE' });
      expect(
        [await bench.stores.client.journal(one), await bench.stores.client.journal(two)].map((rows) => rows.length),
      ).toEqual([3, 1]);
    });

    it('starts children, which anyone may claim, and takes mail to them and back', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const id = await bench.held(worker, saga);
      const child = newRun(saga, {
        held: false,
        status: 'pending',
        parent: { id, call: 'pay' },
        deadlineAt: 4_000_000_000_000,
      });
      await bench.stores.worker.commit(worker, [
        commitOf(id, {
          journal: journalRow(1),
          children: [{ ...child, journal: '[{"t":"started","input":7}]' }],
          runMessages: [{ runId: child.id, body: { kind: 'undo' } }],
        }),
      ]);
      const [claimed] = await bench.stores.worker.claim(worker, [{ ...saga, limit: 5 }]);
      expect(claimed).toMatchObject({
        id: child.id,
        status: 'pending',
        parent: { id, call: 'pay' },
        deadlineAt: 4_000_000_000_000,
        journal: [{ n: 0, events: [{ t: 'started', input: 7 }] }],
        runMessages: [{ body: { kind: 'undo' } }],
      });
      const news = { kind: 'child', call: 'pay', outcome: 'done', output: 1 } as const;
      await bench.stores.worker.commit(worker, [
        commitOf(child.id, {
          journal: journalRow(1),
          runMessagesDone: (claimed?.runMessages ?? []).map((runMessage) => runMessage.id),
          runMessages: [{ runId: id, body: news }],
        }),
      ]);
      expect(await bench.stores.mailCount(child.id)).toBe(0);
      const { runMessages } = await bench.stores.worker.collect(worker, { sagas: [saga], limit: 5, taken: [] });
      expect(runMessages).toMatchObject([{ runId: id, body: news }]);
    });

    it('drops mail for a run that is not there', async () => {
      const saga = uniqueSaga();
      const worker = await bench.registered([saga]);
      const id = await bench.held(worker, saga);
      const nobody = randomUUID();
      await bench.stores.worker.commit(worker, [
        commitOf(id, { journal: journalRow(1), runMessages: [{ runId: nobody, body: { kind: 'undo' } }] }),
      ]);
      expect(await bench.stores.mailCount(nobody)).toBe(0);
    });
  });
}
