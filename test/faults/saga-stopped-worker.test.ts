/**
 * A worker stopped with SIGSTOP past its lease, at several points, and continued once another one has its runs (I7, I8, I11).
 *
 * Fails when a commit does not hold the lease, when a transaction step does not take the fence, and when what a step brings in after
 * the lease counts.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterEach, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { endChildren, inParallel } from '../support/faults/child.ts';
import { seeded, type Random } from '../support/faults/random.ts';
import { drawPlan, plan, type Fate } from '../support/faults/saga-plan.ts';
import { createSagaWorld } from '../support/faults/saga-world.ts';

afterEach(endChildren);

const NO: Fate = { kind: 'no', times: 0, effect: false };
const STOPS = [
  { point: 'saga.commit:before', occurrence: 4 },
  { point: 'saga.commit:after', occurrence: 4 },
  { point: 'saga.step:before', occurrence: 2 },
  { point: 'saga.step:after', occurrence: 2 },
  { point: 'saga.transaction:before', occurrence: 2 },
  { point: 'saga.transaction.commit:before', occurrence: 2 },
  { point: 'saga.compensation:before', occurrence: 1 },
  { point: 'saga.compensation:after', occurrence: 2 },
  { point: 'saga.claim:after', occurrence: 1 },
  // With replies that it has taken in, and has not committed or acknowledged.
  { point: 'saga.commit:before', occurrence: 6, since: 'reply.hand:before' },
  { point: 'reply.hand:after', occurrence: 2 },
  { point: 'reply.post:after', occurrence: 1 },
];

it('a worker that slept through its lease writes nothing under it, and nothing of what it did counts twice', () =>
  seeded(async (random) => {
    const failures: string[] = [];
    await inParallel(3, STOPS, async (stop) => {
      const found = await sleepThroughLease(stop, random.fork(stop.point)).catch((error: unknown) => [String(error)]);
      failures.push(...found.map((failure) => `${stop.point}: ${failure}`));
    });
    expect(failures).toEqual([]);
  }));

async function sleepThroughLease(
  stop: { readonly point: string; readonly occurrence: number; readonly since?: string },
  random: Random,
): Promise<readonly string[]> {
  const world = await createSagaWorld();
  await world.relay('relay');
  await world.participant();
  await world.start([
    plan(0),
    plan(1, { fates: { close: NO } }),
    plan(2, { fates: { close: NO } }),
    ...Array.from({ length: 7 }, (_, n) => drawPlan(n + 3, random)),
  ]);
  const first = world.child('first', { parts: ['worker'], crash: { ...stop, signal: 'SIGSTOP' } });
  try {
    await eventually('the first worker to pass the point', async () => {
      if (first.gone) throw new Error(`it ended\n${first.log}`);
      return isStopped(first.pid);
    });
    await world.worker('second');
    await eventually('the second worker to take over', async () => {
      const { rowCount } = await world.pool.query(`SELECT 1 FROM holdfast.worker WHERE name = 'first'`);
      return rowCount === 0;
    });
    const taken = random.chance(0.5);
    // Either while the second one is at it, or long after it is through.
    if (taken) await world.settled({ messages: true });
    first.kill('SIGCONT');
    await world.start(Array.from({ length: 5 }, (_, n) => drawPlan(n + 10, random)));
    await eventually('the first worker to begin another life', async () => {
      if (first.gone) throw new Error(`it ended\n${first.log}`);
      return first.log.includes('the lease session of the worker is over');
    });
    await world.settled({ messages: true });
    const breaches = await world.breaches();
    first.finish();
    await first.exit;
    return breaches;
  } finally {
    // A process that stands still may hold up everything else.
    first.kill('SIGKILL');
    await first.exit;
    await world.close();
  }
}

/** ps says T for a process that was stopped by a signal. */
async function isStopped(pid: number): Promise<boolean> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'stat=', '-p', String(pid)]);
  return stdout.trim().startsWith('T');
}
