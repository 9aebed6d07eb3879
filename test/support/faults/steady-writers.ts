/**
 * Services that go on writing while something is broken, and how it is seen that consumers go on.
 */
import { eventually } from '../eventually.ts';
import { writeTicks } from './domain.ts';
import type { World } from './world.ts';

/** What may be under way: through a failover no more gathers than can be worked off in a moment. */
const MOST_UNDER_WAY = 200;

/** Services go on writing for these keys until they are told to stop. */
export function steadyWriters(world: World, keys: readonly string[]): { stop(): Promise<void> } {
  let stopped = false;
  const writing = (async () => {
    for (let written = 0; !stopped; written += 2 * keys.length) {
      await writeTicks(world.pool, keys, 2);
      await eventually('room', async () => stopped || written - (await effectsIn(world)) < MOST_UNDER_WAY);
    }
  })();
  return {
    stop() {
      stopped = true;
      return writing;
    },
  };
}

export async function effectsIn(world: World): Promise<number> {
  const { rows } = await world.pool.query<{ n: string }>('SELECT count(*) AS n FROM effect');
  return Number(rows[0]?.n);
}

export async function goesOn(world: World): Promise<void> {
  const before = await effectsIn(world);
  await eventually('more effects', async () => (await effectsIn(world)) > before + 50);
}
