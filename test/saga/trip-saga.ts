/**
 * A saga with one call of each kind, for the tests of decisions.
 */
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { child } from '../../src/saga/kinds/child.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';

const Reserve = message('reserve', { schema: z.object({ id: z.string() }) });
const Release = message('release', { schema: z.object({ id: z.string() }) });
const retry = { attempts: 2, base: 1_000 } as const;
const hotel = saga({ name: 'hotel', input: z.object({ id: z.string() }), steps: {}, async run() {} });

export const trip = saga({
  name: 'trip',
  input: z.object({}),
  signals: { go: z.string() },
  steps: {
    charge: step({ run: () => 'charged', compensate: () => {}, retry }),
    seat: step({ run: () => 'seat', compensate: () => {}, fallback: () => 'none', retry: { attempts: 1 } }),
    slow: step({ run: () => 'slow', compensate: () => {}, deadline: '5s', retry: { attempts: 9, base: 60_000 } }),
    note: transaction({ run: async () => 'noted', compensate: async () => {}, retry }),
    reserve: command(Reserve, {
      compensate: { message: Release, payload: ({ input }) => input },
      timeout: '10s',
      retry: { attempts: 1 },
    }),
    stay: child(hotel, { timeout: '10s' }),
  },
  async run() {},
});
