/**
 * Redis goes and comes, again and again: publisher and receivers go on, and nothing is left behind by each return.
 */
import { Redis } from 'ioredis';
import { expect, it, onTestFinished } from 'vitest';
import { createBullmqTransport } from '../../../src/transport/bullmq/redis-transport.ts';
import { destinationName, NEVER, outbound, publishAtLast, recorder } from '../../../src/testing/transport/kit.ts';
import { startRedis } from '../../support/servers.ts';

it('leaves no listeners behind with each of fifteen reconnects', async () => {
  const warnings: string[] = [];
  const onWarning = (warning: Error): void => void warnings.push(`${warning.name}: ${warning.message}`);
  process.on('warning', onWarning);
  onTestFinished(() => void process.off('warning', onWarning));
  const server = await startRedis();
  onTestFinished(() => server.dispose());
  const transport = createBullmqTransport({ connection: server.url, stalledInterval: 200, lockDuration: 1000 });
  onTestFinished(() => transport.close());
  const destination = destinationName();
  const got = recorder();
  const publisher = transport.publisher();
  for (const ordered of [true, true])
    await transport.receiver(destination, got.handle, { concurrency: 2, ordered }).start();
  const looker = transport.receiver(destination, got.handle, { concurrency: 2, ordered: true });
  await looker.start();
  const admin = new Redis(server.url);
  onTestFinished(() => admin.disconnect());
  for (let round = 0; round < 15; round += 1) {
    await publishAtLast(publisher, [outbound(destination, round)]);
    await got.until((seen) => seen.some(({ n }) => n === round));
    // All connections of publisher and receivers, while the workers wait on theirs.
    await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await expect.poll(() => looker.look!({ signal: NEVER }).catch(() => null), { timeout: 60_000 }).not.toBeNull();
  }
  expect(warnings).toEqual([]);
}, 180_000);
