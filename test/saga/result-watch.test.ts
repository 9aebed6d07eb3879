/** Waiting for the ends of runs: one query for all who wait, ever more seldom, and none where the worker in this process tells. */
import { expect, it } from 'vitest';
import { createResultWatch } from '../../src/saga/client/result-watch.ts';
import type { Duration } from '../../src/runtime/duration.ts';
import { turn } from '../../src/saga/replay/turn.ts';
import type { RunView } from '../../src/saga/store/store.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';

const view = (id: string, status: RunView['status']): RunView => ({ id, status }) as RunView;

function watching(here?: (id: string) => boolean) {
  const clock = createManualClock();
  const world = { asked: [] as (readonly string[])[], runs: new Map<string, RunView>(), trouble: null as Error | null };
  const read = async (ids: readonly string[]): Promise<readonly RunView[]> => {
    world.asked.push(ids);
    if (world.trouble !== null) throw world.trouble;
    return ids.flatMap((id) => world.runs.get(id) ?? []);
  };
  const watch = createResultWatch({ read }, { clock, here });
  const wait = (id: string, signal?: AbortSignal) => {
    const told: { run?: RunView; error?: unknown } = {};
    watch.wait(id, signal).then(
      (run) => (told.run = run),
      (error: unknown) => (told.error = error),
    );
    return told;
  };
  /** Whoever looks has begun to wait before the time moves on, and has looked when it has. */
  const pass = async (by: Duration): Promise<void> => {
    await turn();
    await clock.advance(by);
    await turn();
  };
  return { pass, world, watch, wait };
}

it('asks once for all who wait, and waits on for what has not ended', async () => {
  const { pass, world, wait } = watching();
  for (const id of ['a', 'b', 'c']) world.runs.set(id, view(id, 'running'));
  const told = ['a', 'b', 'c'].map((id) => wait(id));
  await pass('10ms');
  expect(world.asked).toEqual([['a', 'b', 'c']]);
  world.runs.set('a', view('a', 'completed'));
  world.runs.set('b', view('b', 'stuck'));
  world.runs.set('c', view('c', 'compensating'));
  await pass('1s');
  expect(told.map(({ run }) => run?.status)).toEqual(['completed', 'stuck', undefined]);
  world.runs.set('c', view('c', 'compensated'));
  await pass('2s');
  expect(told[2]?.run?.status).toBe('compensated');
});

it('asks ever more seldom, and at least once a second', async () => {
  const { pass, world, wait } = watching();
  world.runs.set('a', view('a', 'waiting'));
  wait('a');
  await pass('1m');
  const { length } = world.asked;
  expect(length).toBeGreaterThan(60);
  expect(length).toBeLessThan(80);
});

it('says of what is not there that it is not, and waits while the database is away', async () => {
  const { pass, world, wait } = watching();
  const gone = wait('gone');
  await pass('10ms');
  expect(gone.error).toMatchObject({ code: 'HF_NOT_FOUND' });
  world.trouble = Object.assign(new Error('away'), { code: 'ECONNREFUSED' });
  const away = wait('a');
  await pass('1m');
  expect(away).toEqual({});
  world.trouble = null;
  world.runs.set('a', view('a', 'completed'));
  await pass('1s');
  expect(away.run?.status).toBe('completed');
  world.trouble = Object.assign(new Error('no such table'), { code: '42P01' });
  const wrong = wait('b');
  await pass('10ms');
  expect(wrong.error).toMatchObject({ message: 'no such table' });
});

it('asks nobody while the worker here has the run, and tells what it tells, but not before the end', async () => {
  const { pass, world, watch, wait } = watching(() => true);
  const told = wait('a');
  await pass('1m');
  expect(world.asked.flat()).toEqual([]);
  watch.tell(view('a', 'compensating'));
  await pass('1ms');
  expect(told).toEqual({});
  watch.tell(view('a', 'compensated'));
  await pass('1ms');
  expect(told.run?.status).toBe('compensated');
  expect(watch.waitsFor('a')).toBe(false);
});

it('asks for the run once the worker here has lost it', async () => {
  let isHere = true;
  const { pass, world, wait } = watching(() => isHere);
  world.runs.set('a', view('a', 'completed'));
  const told = wait('a');
  await pass('1s');
  isHere = false;
  await pass('1s');
  expect(told.run?.status).toBe('completed');
});

it('forgets who has given up, and only them', async () => {
  const { pass, world, watch, wait } = watching();
  world.runs.set('a', view('a', 'running'));
  const stop = new AbortController();
  const [gone, stays] = [wait('a', stop.signal), wait('a')];
  await pass('10ms');
  stop.abort(new Error('enough'));
  await pass('1ms');
  expect(gone.error).toMatchObject({ message: 'enough' });
  expect(watch.waitsFor('a')).toBe(true);
  world.runs.set('a', view('a', 'completed'));
  await pass('1s');
  expect(stays.run?.status).toBe('completed');
});
