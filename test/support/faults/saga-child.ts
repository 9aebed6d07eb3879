/**
 * A process of its own for the fault-injection tests of sagas, to be killed and stopped: a worker, a participant, a relay, or several of these. Started
 * by startChild.
 */
import { openDatabase } from '../../../src/postgres/database.ts';
import { createRelay } from '../../../src/relay/relay.ts';
import type { Service } from '../../../src/runtime/service.ts';
import { createWorker } from '../../../src/saga/worker/worker.ts';
import { createBullmqTransport } from '../../../src/transport/bullmq/redis-transport.ts';
import { asked, settings, stderrLogger, tell } from './child-side.ts';
import { FAULTS_BROKER } from './consumers.ts';
import { crashPoints, type CrashPlan } from './crash-points.ts';
import { testParticipant, testSaga } from './saga-domain.ts';
import { openOutside } from './saga-outside.ts';
import { FAULTS_WORKER, SAGA_SUBSCRIPTION } from './saga-parts.ts';

export interface SagaChildSettings {
  readonly url: string;
  readonly redis: { readonly url: string; readonly prefix: string };
  readonly outside: string;
  /** Its name in the ledger. */
  readonly by: string;
  readonly parts: readonly ('worker' | 'participant' | 'relay')[];
  readonly crash?: CrashPlan;
  readonly replyTimeout?: number;
  /** Of the worker; default a second. */
  readonly lease?: number;
}

const { url, redis, outside, by, parts, crash, replyTimeout, lease } = settings() as SagaChildSettings;
const database = openDatabase({ url, max: 8 });
const transport = createBullmqTransport({ connection: redis.url, prefix: redis.prefix, ...FAULTS_BROKER });
const crashPoint = crashPoints(crash ?? null, (point) => tell('point', { point }));
const log = stderrLogger;
const saga = testSaga({
  outside: openOutside(outside),
  outsidePath: outside,
  by,
  ...(replyTimeout === undefined ? {} : { replyTimeout }),
});
const make = {
  worker: (): Service =>
    createWorker({
      ...FAULTS_WORKER,
      ...(lease === undefined ? {} : { lease }),
      database,
      sagas: [saga],
      name: by,
      replies: { transport },
      log,
      crashPoint,
    }),
  participant: (): Service => testParticipant({ database, transport, log }),
  relay: (): Service => createRelay({ database, owner: by, log, subscriptions: [{ ...SAGA_SUBSCRIPTION, transport }] }),
};
const services = parts.map((part) => make[part]());
for (const service of services) await service.start();
tell('started');
await asked();
for (const service of services) await service.stop();
await transport.close();
await database.close();
tell('stopped');
process.exit(0);
