/**
 * The duties of src/saga/store.ts as tests. test/saga/postgres-store.test.ts and the test of the memory store run them.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SagaVersion, WorkerStore } from '../../src/saga/store.ts';
import {
  commitOf,
  journalRow,
  LEASE_MS,
  startOf,
  uniqueSaga,
  update,
  type SagaStoreKit,
  type SagaStores,
} from './saga-store-kit.ts';

export function sagaStoreConformance<Tx>(kit: SagaStoreKit<Tx>): void {
  describe(`${kit.name} as a store of sagas`, () => {
    let stores: SagaStores<Tx>;
    beforeAll(async () => {
      stores = await kit.create();
    });
    afterAll(async () => {
      await stores.dispose();
    });

    async function registered(sagas: readonly SagaVersion[], store: WorkerStore = stores.worker): Promise<string> {
      const id = randomUUID();
      await store.register({ id, name: 'test', sagas, leaseMs: LEASE_MS });
      return id;
    }

    it('refuses the writes of a worker that was taken over, and writes nothing', async () => {
      const saga = uniqueSaga();
      const worker = await registered([saga]);
      const start = startOf(saga);
      await stores.worker.commit(worker, [start]);
      await stores.expire(worker);
      await stores.other.takeOver();
      const late = commitOf(start.runId, { journal: journalRow(1), update: update('completed') });
      await expect(stores.worker.commit(worker, [late])).rejects.toMatchObject({ code: 'HF_LEASE_LOST' });
      expect(await stores.client.journal(start.runId)).toHaveLength(1);
      expect(await stores.client.read([start.runId])).toMatchObject([{ status: 'running' }]);
    });
  });
}
