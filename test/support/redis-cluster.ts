/**
 * What tests do with a cluster of src/servers/redis-cluster.ts.
 */
import { Redis } from 'ioredis';
import { onTestFinished } from 'vitest';
import { redisCommand } from '../../src/servers/redis-command.ts';
import type { RedisCluster } from '../../src/servers/redis-cluster.ts';
import type { RedisServer } from '../../src/servers/redis.ts';
import { slotOf } from '../../src/transport/bullmq/cluster-slots.ts';
import { TAGGED_NAMES } from '../../src/transport/bullmq/jobs.ts';
import { type BullmqTransportOptions, createBullmqTransport } from '../../src/transport/bullmq/redis-transport.ts';
import type { OutboundMessage, Transport } from '../../src/transport/port.ts';
import { destinationName, outbound } from '../../src/testing/transport/kit.ts';

/** Claims that run out soon, so that a test need not wait long for what a dead consumer held. Patient with a slow broker. */
export const SHORT = { lockDuration: 400, stalledInterval: 150, publishTimeout: 60_000 };
const SLOTS = 16_384;
const MASTERS = 3;

/** The node that had a slot at the start. */
export function firstMasterOf(cluster: RedisCluster, slot: number): RedisServer {
  const master = cluster.nodes[Math.floor((slot * MASTERS) / SLOTS)];
  if (master === undefined) throw new Error(`no node for slot ${slot}`);
  return master;
}

/** Moves a slot and its keys as redis-cli does. `between` is called when half of the keys are over. */
export async function moveSlot(
  cluster: RedisCluster,
  slot: number,
  to: RedisServer,
  between: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  const from = await ownerOf(cluster, slot);
  const [source, target] = await Promise.all([from, to].map(({ port }) => redisCommand(port, ['CLUSTER', 'MYID'])));
  await redisCommand(to.port, ['CLUSTER', 'SETSLOT', String(slot), 'IMPORTING', source ?? '']);
  await redisCommand(from.port, ['CLUSTER', 'SETSLOT', String(slot), 'MIGRATING', target ?? '']);
  const redis = new Redis(from.url, { replyMapping: 'legacy' });
  const migrate = async (most: number): Promise<number> => {
    const keys = await redis.cluster('GETKEYSINSLOT', slot, most);
    if (keys.length > 0) await redis.call('MIGRATE', '127.0.0.1', to.port, '', 0, 5000, 'KEYS', ...keys);
    return keys.length;
  };
  const count = await redis.cluster('COUNTKEYSINSLOT', slot);
  await migrate(Math.ceil(count / 2));
  await between();
  while ((await migrate(100)) > 0);
  redis.disconnect();
  for (const { port } of [to, from, ...cluster.nodes])
    await redisCommand(port, ['CLUSTER', 'SETSLOT', String(slot), 'NODE', target ?? '']);
}

async function ownerOf(cluster: RedisCluster, slot: number): Promise<RedisServer> {
  for (const node of cluster.nodes) {
    const redis = new Redis(node.url, { replyMapping: 'legacy' });
    const slots = (await redis.cluster('SLOTS')) as unknown as [number, number, [string, number]][];
    redis.disconnect();
    const port = slots.find(([from, last]) => from <= slot && slot <= last)?.[2][1];
    const owner = cluster.nodes.find((each) => each.port === port);
    if (owner !== undefined) return owner;
  }
  throw new Error(`nobody has slot ${slot}`);
}

/** Stops the process of a server, which takes connections then and answers nothing, until the function that comes back is called. */
export async function freeze({ port }: Pick<RedisServer, 'port'>): Promise<() => void> {
  const pid = Number(/process_id:(\d+)/.exec(await redisCommand(port, ['INFO', 'server']))?.[1]);
  process.kill(pid, 'SIGSTOP');
  return () => void process.kill(pid, 'SIGCONT');
}

/** What the keys of a queue begin with, under the default prefix. */
export function keyOf(destination: string, partition = 0): string {
  return `holdfast:${TAGGED_NAMES.queueName(destination, partition)}:`;
}

/** A destination whose first queue was on that node at the start. */
export function destinationOn(cluster: RedisCluster, node: RedisServer): string {
  for (;;) {
    const destination = destinationName();
    if (firstMasterOf(cluster, slotOf(keyOf(destination))) === node) return destination;
  }
}

/** A transport by BullMQ, for the test that runs. */
export function makeOnCluster({ url }: RedisCluster, options: Partial<BullmqTransportOptions> = {}): Transport {
  const transport = createBullmqTransport({ connection: url, ...SHORT, ...options });
  onTestFinished(() => transport.close());
  return transport;
}

/** As many partitions as `spread` fills. */
export const wide = (destination: string) => ({ queues: { [destination]: { partitions: 6 } } });

/** Messages of so many keys that each of six partitions has some. */
export function spread(destination: string): readonly OutboundMessage[] {
  return Array.from({ length: 24 }, (_, n) => outbound(destination, n, { key: `k${n}` }));
}
