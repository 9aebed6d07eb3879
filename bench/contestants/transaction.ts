/**
 * Three transactional steps, each of which writes a row of the service in the same commit as its result.
 */
import { randomUUID } from 'node:crypto';
import type { ClientBase } from 'pg';
import { z } from 'zod';
import { saga } from '../../src/saga/definition/definition.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import { createWorker } from '../../src/saga/worker/worker.ts';
import type { Contestant, ContestantOptions } from './contestant.ts';
import { HAND_WRITTEN_SAGA_SCHEMA, runByHand, type SagaByHand } from '../rivals/hand-written-saga.ts';
import { check } from './local.ts';

export const ENTRIES = 'CREATE TABLE public.entry (step text NOT NULL, run int NOT NULL, cents int NOT NULL)';

/** The service's own write. */
export async function writeEntry(
  client: Pick<ClientBase, 'query'>,
  name: string,
  run: number,
): Promise<{ name: string; cents: number }> {
  await client.query('INSERT INTO public.entry (step, run, cents) VALUES ($1, $2, 1)', [name, run]);
  return { name, cents: 1 };
}

const entry = (name: string) => transaction({ run: (run: number, { tx }) => writeEntry(tx, name, run) });

const threeEntries = saga({
  name: 'three-entries',
  input: z.object({ run: z.number() }),
  steps: { reserve: entry('reserve'), charge: entry('charge'), ship: entry('ship') },
  async run({ input: { run }, steps }) {
    const reserved = await steps.reserve(run);
    const charged = await steps.charge(run);
    const shipped = await steps.ship(run);
    return { run, total: reserved.cents + charged.cents + shipped.cents };
  },
});

export async function transactionSaga({ database }: ContestantOptions): Promise<Contestant> {
  await database.query(ENTRIES);
  const worker = createWorker({ database, sagas: [threeEntries] });
  await worker.start();
  return {
    async run(n) {
      const run = await worker.sagas.start(threeEntries, { run: n });
      check(await run.result(), n);
    },
    commits: () => worker.progress.commits,
    close: () => worker.stop(),
  };
}

const threeEntriesByHand: SagaByHand<{ run: number }, { run: number; total: number }> = {
  name: 'three-entries',
  async run(_step, { run }, inTransaction) {
    let total = 0;
    for (const name of ['reserve', 'charge', 'ship']) {
      const { cents } = await inTransaction(name, (client) => writeEntry(client, name, run));
      total += cents;
    }
    return { run, total };
  },
};

export async function transactionByHand({ database }: ContestantOptions): Promise<Contestant> {
  await database.query(`${HAND_WRITTEN_SAGA_SCHEMA}; ${ENTRIES}`);
  return {
    async run(n) {
      check(await runByHand(database.pool, threeEntriesByHand, randomUUID(), { run: n }), n);
    },
    commits: () => 0,
    close: async () => {},
  };
}
