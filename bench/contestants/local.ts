/**
 * Three local steps that do nothing, one after the other, each with a small JSON value that has to be remembered: what bench/peers runs.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { saga } from '../../src/saga/definition/definition.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { createWorker } from '../../src/saga/worker/worker.ts';
import type { Contestant, ContestantOptions } from './contestant.ts';
import { startBenchTracing } from '../support/tracing.ts';
import { HAND_WRITTEN_SAGA_SCHEMA, runByHand, type SagaByHand } from '../rivals/hand-written-saga.ts';

interface Done {
  readonly name: string;
  readonly run: number;
  readonly cents: number;
}

const nothing = (name: string) => step({ run: async (run: number): Promise<Done> => ({ name, run, cents: 1 }) });

const threeSteps = saga({
  name: 'three-steps',
  input: z.object({ run: z.number() }),
  steps: { reserve: nothing('reserve'), charge: nothing('charge'), ship: nothing('ship') },
  async run({ input: { run }, steps }) {
    const reserved = await steps.reserve(run);
    const charged = await steps.charge(run);
    const shipped = await steps.ship(run);
    return { run, total: reserved.cents + charged.cents + shipped.cents };
  },
});

/** A result that is not the one of run n is no result. */
export function check(result: { readonly run: number; readonly total: number }, n: number): void {
  if (result.run !== n || result.total !== 3) throw new Error(`run ${n} returned ${JSON.stringify(result)}`);
}

export async function localSaga({ database }: ContestantOptions): Promise<Contestant> {
  const worker = createWorker({ database, sagas: [threeSteps] });
  await worker.start();
  return {
    async run(n) {
      const run = await worker.sagas.start(threeSteps, { run: n });
      check(await run.result(), n);
    },
    commits: () => worker.progress.commits,
    close: () => worker.stop(),
  };
}

/** The same while somebody traces. */
export async function tracedSaga(options: ContestantOptions): Promise<Contestant> {
  const tracing = startBenchTracing();
  const traced = await localSaga(options);
  return {
    ...traced,
    async close() {
      await traced.close();
      await tracing.stop();
    },
  };
}

const threeStepsByHand: SagaByHand<{ run: number }, { run: number; total: number }> = {
  name: 'three-steps',
  async run(done, { run }) {
    let total = 0;
    for (const name of ['reserve', 'charge', 'ship']) {
      const { cents } = await done(name, async () => ({ name, run, cents: 1 }));
      total += cents;
    }
    return { run, total };
  },
};

export async function localByHand({ database }: ContestantOptions): Promise<Contestant> {
  await database.query(HAND_WRITTEN_SAGA_SCHEMA);
  return {
    async run(n) {
      check(await runByHand(database.pool, threeStepsByHand, randomUUID(), { run: n }), n);
    },
    commits: () => 0,
    close: async () => {},
  };
}
