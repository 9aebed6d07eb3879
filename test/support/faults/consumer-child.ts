/**
 * Consumers in a process of their own, to be killed: `exact`, which is ordered, and on demand `windowed`; or `batched` alone, which has
 * messages share transactions. Started by startChild.
 */
import { createRedisWindow } from '../../../src/inbox/window/window-redis.ts';
import { openDatabase } from '../../../src/postgres/database.ts';
import { createBullmqTransport } from '../../../src/transport/bullmq/redis-transport.ts';
import { asked, settings, stderrLogger, tell } from './child-side.ts';
import { FAULTS_BROKER, testConsumer, type HandlerMisbehaviour } from './consumers.ts';
import { crashPoints, type CrashPlan } from './crash-points.ts';

export interface ConsumerChildSettings {
  readonly url: string;
  readonly redis: { readonly url: string; readonly prefix: string };
  readonly crash: CrashPlan | null;
  readonly misbehaviour?: HandlerMisbehaviour;
  readonly windowed?: boolean;
  readonly batched?: boolean;
}

const { url, redis, crash, misbehaviour, windowed = false, batched = false } = settings() as ConsumerChildSettings;
const database = openDatabase({ url, max: 6 });
const transport = createBullmqTransport({ connection: redis.url, prefix: redis.prefix, ...FAULTS_BROKER });
const crashPoint = crashPoints(crash, (point) => tell('point', { point }));
const common = { database, transport, crashPoint, log: stderrLogger };
const misbehaving = misbehaviour === undefined ? common : { ...common, misbehaviour };
const consumers = [
  batched
    ? // In one transaction at a time, so that what waits shares the next one.
      testConsumer({ ...misbehaving, name: 'batched', batch: true, concurrency: 1 })
    : testConsumer({ ...misbehaving, name: 'exact', ordered: true }),
];
if (windowed) {
  const window = createRedisWindow({ connection: redis.url, prefix: `${redis.prefix}:window:` });
  consumers.push(testConsumer({ ...common, name: 'windowed', kind: 'window', window }));
}
for (const consumer of consumers) await consumer.start();
tell('started');
await asked();
for (const consumer of consumers) await consumer.stop();
await transport.close();
await database.close();
tell('stopped');
process.exit(0);
