/** Runs that the store says a worker holds, and that are in nobody's memory: which of them are let go, and which are only on their way. */
import { expect, it } from 'vitest';
import { silentLogger } from '../../src/runtime/log.ts';
import type { WorkerStore } from '../../src/saga/store/store.ts';
import { createOrphanWatch } from '../../src/saga/worker/orphans.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';

/** A worker of which the store says that it holds these. */
function watching() {
  const clock = createManualClock();
  const world = { held: [] as string[], memory: [] as string[], looks: 0, letGo: [] as string[] };
  const store = {
    held: async () => {
      world.looks += 1;
      return world.held;
    },
    letGo: async (_worker: string, ids: readonly string[]) => void world.letGo.push(...ids),
  } as unknown as WorkerStore;
  const isInMemory = (id: string): boolean => world.memory.includes(id);
  const watch = createOrphanWatch({ store, workerId: 'w', isInMemory, clock, log: silentLogger });
  const look = async (): Promise<number> => {
    await clock.advance('10s');
    return watch.look();
  };
  return { world, watch, look };
}

it('are let go when they were missing twice in a row, and not what is only leaving memory', async () => {
  const { world, look } = watching();
  world.held = ['lost', 'kept', 'leaving'];
  world.memory = ['kept'];
  expect(await look()).toBe(0);
  world.held = ['lost', 'kept', 'coming'];
  expect(await look()).toBe(1);
  expect(world.letGo).toEqual(['lost']);
});

it('are missing twice in a row, and not at any two looks', async () => {
  const { world, look } = watching();
  world.held = ['a'];
  await look();
  world.memory = ['a'];
  await look();
  world.memory = [];
  expect(await look()).toBe(0);
  expect(world.letGo).toEqual([]);
});

it('are looked for now and then: a look costs the store', async () => {
  const { world, watch, look } = watching();
  await watch.look();
  expect(world.looks).toBe(0);
  await look();
  for (let times = 0; times < 5; times += 1) await watch.look();
  expect(world.looks).toBe(1);
});
