/**
 * A saga whose code ends its process for some inputs, at one of the moments at which code runs.
 */
import { z } from 'zod';
import { saga, type Saga } from '../../../src/saga/definition/definition.ts';
import { step } from '../../../src/saga/kinds/step.ts';
import { transaction } from '../../../src/saga/kinds/transaction.ts';

export const MOMENTS = ['begin', 'replay', 'signal', 'timer'] as const;
export type Moment = (typeof MOMENTS)[number];

const Input = z.object({ n: z.number(), dies: z.enum([...MOMENTS, 'never']) });
const signals = { go: z.null() };

export type PoisonousSaga = Saga<z.infer<typeof Input>, number, typeof signals>;

/** How long it sleeps, in ms: its timer comes while its worker is there. */
const NAP_MS = 100;

export function poisonousSaga(kill: () => void): PoisonousSaga {
  return saga({
    name: 'poisonous',
    input: Input,
    signals,
    steps: {
      // Committed with its outcome, so that what comes after it dies at each replay.
      write: transaction({ run: async (n: number) => n + 1 }),
      last: step({ run: async (n: number) => n + 1 }),
    },
    async run({ input: { n, dies }, steps, sleep, waitFor }) {
      if (dies === 'begin') kill();
      const written = await steps.write(n);
      if (dies === 'replay') kill();
      await waitFor('go');
      if (dies === 'signal') kill();
      await sleep(NAP_MS);
      if (dies === 'timer') kill();
      return steps.last(written);
    },
  });
}
