/** A saga for the tests of the command line: its input says how it goes. */
import { z } from 'zod';
import { PermanentError, Rejection } from '../../../src/errors.ts';
import { saga } from '../../../src/saga/definition/definition.ts';
import { step } from '../../../src/saga/kinds/step.ts';

export const order = saga({
  name: 'order',
  input: z.object({
    id: z.string(),
    soldOut: z.boolean().default(false),
    refundFails: z.boolean().default(false),
    ask: z.boolean().default(false),
  }),
  steps: {
    charge: step({
      run: ({ id }: { id: string; refundFails: boolean }) => ({ payment: `p-${id}` }),
      compensate: ({ input }) => {
        if (input.refundFails) throw new PermanentError('no such payment');
      },
    }),
    ship: step({
      run: ({ soldOut }: { soldOut: boolean }) => {
        if (soldOut) throw new Rejection('sold out');
      },
    }),
  },
  signals: { approved: z.object({ by: z.string() }) },
  async run({ input, steps, waitFor }) {
    const payment = await steps.charge({ id: input.id, refundFails: input.refundFails });
    if (input.ask) await waitFor('approved');
    await steps.ship({ soldOut: input.soldOut });
    return payment;
  },
});
