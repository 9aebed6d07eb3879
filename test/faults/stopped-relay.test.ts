/**
 * Two relays, the first stopped with SIGSTOP past its lease and continued once the second has taken over (I11, and I3, I4 at an
 * ordered consumer).
 *
 * Fails when the epoch is left out of the fence of a write, or when a relay does not ask whether its lease still holds.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterEach, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { endChildren, inParallel, startChild } from '../support/faults/child.ts';
import { writeTicks } from '../support/faults/domain.ts';
import type { RelayChildSettings } from '../support/faults/relay-child.ts';
import { FAULTS_SUBSCRIPTION } from '../support/faults/relays.ts';
import { isCommit, startTcpProxy } from '../support/faults/tcp-proxy.ts';
import { createWorld, type World } from '../support/faults/world.ts';

afterEach(endChildren);

const KEYS = ['a', 'b', 'c'];
const BATCH = 5;
const STOPS = [
  { point: 'relay.publish:before', occurrence: 3 },
  { point: 'relay.publish:after', occurrence: 3 },
  { point: 'relay.read:after', occurrence: 3 },
  { point: 'relay.advance:before', occurrence: 2 },
  { point: 'relay.park:before', occurrence: 1 },
  { point: 'relay.redrive:before', occurrence: 1 },
];

it('a relay that slept through its lease writes nothing under it and publishes nothing but what was in flight', async () => {
  const failures: string[] = [];
  // Most of the time each waits for the end of a lease.
  await inParallel(STOPS.length, STOPS, async (stop) => {
    const world = await createWorld({ keys: KEYS });
    try {
      failures.push(...(await sleepThroughLease(world, stop)).map((failure) => `${stop.point}: ${failure}`));
    } catch (error) {
      failures.push(`${stop.point}: ${String(error)}`);
    } finally {
      await world.close();
    }
  });
  expect(failures).toEqual([]);
});

/** Fails when nothing ends a transaction whose client has fallen silent: it holds the row of the subscription. */
it('a relay that stands still in the middle of a cursor write does not keep the next one out', async () => {
  const world = await createWorld({ keys: KEYS });
  const proxy = await startTcpProxy(world.url);
  try {
    const first = await world.relay('first', { url: proxy.url });
    await world.consumer({ name: 'exact', ordered: true });
    proxy.judge = (bytes) => (isCommit(bytes) ? 'stall' : 'pass');
    await writeTicks(world.pool, KEYS, 4);
    await eventually('the first relay to stand still', async () => proxy.stalled);
    await world.relay('second');
    await eventually('the second relay to take over', async () => (await owner(world)) === 'second');
    await writeTicks(world.pool, KEYS, 4);
    await world.settled(['exact']);
    expect(await world.breaches({ consumers: ['exact'], orderedConsumers: ['exact'] })).toEqual([]);
    await proxy.close();
    await first.stop();
  } finally {
    await proxy.close();
    await world.close();
  }
});

async function sleepThroughLease(
  world: World,
  stop: { readonly point: string; readonly occurrence: number },
): Promise<readonly string[]> {
  const failures: string[] = [];
  await world.consumer({ name: 'exact', ordered: true });
  await writeTicks(world.pool, KEYS, 12);
  const routes = [{ topics: '**', to: 'exact', ordered: true }];
  const settings: RelayChildSettings = {
    url: world.url,
    ledger: world.ledger,
    owner: 'first',
    crash: { ...stop, signal: 'SIGSTOP' },
    redis: world.redis,
    misbehaviour: { refuseForNow: { key: 'b', n: 4, times: 3 } },
    subscription: { ...FAULTS_SUBSCRIPTION, routes, batchSize: BATCH },
  };
  const first = startChild('relay-child.ts', settings);
  try {
    await eventually('the first relay to stand still', async () => {
      if (first.gone) throw new Error(`it ended\n${first.log}`);
      return isStopped(first.pid);
    });
    // A lease that a slow machine does not end: the first one, once awake, stands by.
    await world.relay('second', { subscription: { batchSize: BATCH, lease: '5m' } });
    await eventually('the second relay to take over', async () => (await owner(world)) === 'second');
    // Some of what the second publishes goes out before the first wakes, and some after.
    await eventually('the second relay to publish', async () => world.published().some(({ by }) => by === 'second'));
    const before = world.published().filter(({ by }) => by === 'first').length;
    first.kill('SIGCONT');
    await writeTicks(world.pool, KEYS, 4);
    // Its writes fail, by the fence, or because PostgreSQL ended the transaction it slept in; it then finds the lease taken.
    await first.told('error', { message: 'tick failed' });
    await eventually('the first relay to stand by', async () => first.log.includes('standing by'));
    await world.settled(['exact']);
    const after = world.published().filter(({ by }) => by === 'first').length;
    if (after - before > BATCH)
      failures.push(`I11: it published ${after - before} messages after it had lost its lease`);
    if ((await owner(world)) !== 'second') failures.push('I11: it holds the lease again');
    failures.push(
      ...(await world.breaches({ consumers: ['exact'], orderedConsumers: ['exact'], publishedInOrder: false })),
    );
    first.finish();
    await first.exit;
    return failures;
  } finally {
    // A process that stands still may hold up everything else.
    first.kill('SIGKILL');
    await first.exit;
  }
}

async function owner(world: World): Promise<unknown> {
  const { rows } = await world.pool.query<{ lease_owner: string | null }>(
    'SELECT lease_owner FROM holdfast.subscription',
  );
  return rows[0]?.lease_owner;
}

/** ps says T for a process that was stopped by a signal. */
async function isStopped(pid: number): Promise<boolean> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'stat=', '-p', String(pid)]);
  return stdout.trim().startsWith('T');
}
