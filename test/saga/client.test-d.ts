/**
 * What the compiler infers for those who start sagas and speak to their runs.
 */
import type { PoolClient } from 'pg';
import { expectTypeOf } from 'vitest';
import { z } from 'zod';
import type { Sagas } from '../../src/saga/client/client.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import type { RunHandle } from '../../src/saga/client/run-handle.ts';

const order = saga({
  name: 'order',
  input: z.object({ id: z.string(), count: z.number().default(1), at: z.string().transform((text) => text.length) }),
  signals: { approved: z.object({ by: z.string().default('me') }), hurry: z.undefined() },
  steps: {},
  run: async ({ input }) => ({ ordered: input.id }),
});
const quiet = saga({ name: 'quiet', input: z.string(), steps: {}, run: async () => {} });

declare const sagas: Sagas;
declare const tx: PoolClient;

async function starting(): Promise<void> {
  const handle = await sagas.start(order, { id: 'o', at: 'x' }, { key: 'k', deadline: '1d' });
  expectTypeOf(await handle.result({ timeout: '1s' })).toEqualTypeOf<{ ordered: string }>();
  expectTypeOf(handle.created).toBeBoolean();
  expectTypeOf(await sagas.start(tx, order, { id: 'o', at: 'x', count: 2 })).toEqualTypeOf(handle);
  expectTypeOf(sagas.handle(order, 'id')).toEqualTypeOf(handle);
  expectTypeOf(await sagas.handle(quiet, 'id').result()).toBeVoid();
  // @ts-expect-error the schema's input, not its output
  await sagas.start(order, { id: 'o', at: 1 });
  // @ts-expect-error no input
  await sagas.start(tx, order);
  // @ts-expect-error no such option
  await sagas.start(order, { id: 'o', at: 'x' }, { keys: 'k' });
  // @ts-expect-error a pool runs each statement on a connection of its own choice
  await sagas.start({ connect: () => tx }, quiet, 'text');
}

async function signalling(): Promise<void> {
  const handle = sagas.handle(order, 'id');
  await handle.signal('approved', { by: 'me' }, { tx, id: 's' });
  await handle.signal('approved', {});
  await handle.signal('hurry');
  await handle.signal('hurry', undefined, { tx });
  // @ts-expect-error no such signal
  await handle.signal('refused', {});
  // @ts-expect-error wrong payload
  await handle.signal('approved', { by: 1 });
  // @ts-expect-error no payload
  await handle.signal('approved');
  // @ts-expect-error declares no signals
  await sagas.handle(quiet, 'id').signal('approved', {});
  await handle.cancel({ tx, reason: 'r', actor: 'a' });
}

async function byName(): Promise<void> {
  const handle = await sagas.start(sagas.byName('order'), JSON.parse('{}') as unknown);
  expectTypeOf(await handle.result()).toBeUnknown();
  await handle.signal('whatever', { any: 1 });
  expectTypeOf(handle).toExtend<RunHandle>();
}

void [starting, signalling, byName];
