/**
 * The duties of src/saga/store/store.ts as tests. test/saga/postgres-store.test.ts and the test of the memory store run them.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe } from 'vitest';
import { clientsConformance } from './saga-store-clients.ts';
import { commitsConformance } from './saga-store-commits.ts';
import { LEASE_MS, startOf, type SagaStoreBench, type SagaStoreKit, type SagaStores } from './saga-store-kit.ts';
import { workersConformance } from './saga-store-workers.ts';

export function sagaStoreConformance<Tx>(kit: SagaStoreKit<Tx>): void {
  describe(`${kit.name} as a store of sagas`, () => {
    let stores: SagaStores<Tx>;
    beforeAll(async () => {
      stores = await kit.create();
    });
    afterAll(async () => {
      await stores.dispose();
    });

    const bench: SagaStoreBench<Tx> = {
      get stores() {
        return stores;
      },
      async registered(sagas) {
        const id = randomUUID();
        await stores.worker.register({ id, name: 'test', sagas, leaseMs: LEASE_MS });
        return id;
      },
      async held(worker, saga) {
        const start = startOf(saga);
        await stores.worker.commit(worker, [start]);
        return start.runId;
      },
      async view(id) {
        return (await stores.client.read([id]))[0];
      },
    };
    workersConformance(bench);
    commitsConformance(bench);
    clientsConformance(bench);
  });
}
