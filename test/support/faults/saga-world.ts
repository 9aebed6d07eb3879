/**
 * A whole world for a fault-injection test of sagas: a database that is saga's and participant's alike, the ledger outside, a broker, any number of
 * workers, participants and relays in this process or in others. Everything is ended by `close`.
 */
import { queuesOnRedis } from '../../../src/transport/bullmq/redis-queues.ts';
import type pg from 'pg';
import { openDatabase, type Database } from '../../../src/postgres/database.ts';
import type { SubscriptionOptions } from '../../../src/relay/subscription/options.ts';
import { createRelay } from '../../../src/relay/relay.ts';
import type { Service } from '../../../src/runtime/service.ts';
import { createSagas, type Sagas } from '../../../src/saga/client/client.ts';
import type { AnySaga, Saga } from '../../../src/saga/definition/definition.ts';
import type { DatabaseParticipantOptions } from '../../../src/saga/participant/participant-options.ts';
import { createWorker, type Worker, type WorkerOptions } from '../../../src/saga/worker/worker.ts';
import { createBullmqTransport } from '../../../src/transport/bullmq/redis-transport.ts';
import type { Transport } from '../../../src/transport/port.ts';
import { eventually } from '../eventually.ts';
import { createDatabaseOn, createTestDatabase, sharedRedisUrl, uniquePrefix } from '../servers.ts';
import { inSnapshot, unfinished } from './checker.ts';
import { startChild, type Child } from './child.ts';
import { FAULTS_BROKER } from './consumers.ts';
import { temporaryLedger } from './ledger.ts';
import { sagaBreaches, type SagaExpectations } from './saga-checker.ts';
import type { SagaChildSettings } from './saga-child.ts';
import { FAULTS_TABLES, testParticipant, testSaga, type TestSaga, type TestSagaOptions } from './saga-domain.ts';
import { collectSagaFacts, unfinishedRuns, WITNESS, type SagaFacts } from './saga-facts.ts';
import { openOutside, readOutside } from './saga-outside.ts';
import type { Plan } from './saga-plan.ts';
import { FAULTS_WORKER, SAGA_SUBSCRIPTION } from './saga-parts.ts';

export interface SagaWorldOptions {
  /** Of a PostgreSQL of the test's own; default the shared one. */
  readonly adminUrl?: string;
  /** Of a Redis of the test's own; default the shared one. */
  readonly redisUrl?: string;
  readonly replyTimeout?: number;
}

export interface SagaWorld {
  readonly url: string;
  readonly pool: pg.Pool;
  readonly redis: { readonly url: string; readonly prefix: string };
  readonly sagas: Sagas;
  readonly saga: TestSaga;
  /** Ids of runs whose start was answered. */
  readonly started: string[];
  /** The saga as a process of that name has it. */
  sagaBy(by: string, options?: Partial<TestSagaOptions>): TestSaga;
  worker(by: string, options?: Partial<WorkerOptions> & { readonly url?: string }): Promise<Worker>;
  participant(options?: Partial<DatabaseParticipantOptions> & { readonly url?: string }): Promise<Service>;
  relay(by: string, url?: string, subscription?: Partial<SubscriptionOptions>): Promise<Service>;
  child(by: string, settings: Pick<SagaChildSettings, 'parts'> & Partial<SagaChildSettings>): Child;
  /** Starts one run each, with its number as its key: again does not harm. */
  start(plans: readonly Plan[]): Promise<readonly string[]>;
  /** As if the leases of all that are dead had ended by now. */
  endLeases(by: string): Promise<void>;
  /** Resolves once every run has ended, or is stuck, and nothing lies anywhere; `messages`: also what relays have to do. */
  settled(options?: { readonly messages?: boolean }): Promise<void>;
  facts(sagas?: readonly AnySaga[]): Promise<SagaFacts>;
  breaches(expectations?: SagaExpectations, sagas?: readonly AnySaga[]): Promise<readonly string[]>;
  statuses(): Promise<Readonly<Record<string, number>>>;
  close(): Promise<void>;
}

export async function createSagaWorld(options: SagaWorldOptions = {}): Promise<SagaWorld> {
  const { adminUrl, redisUrl = sharedRedisUrl(), replyTimeout = 5_000 } = options;
  const test =
    adminUrl === undefined
      ? await createTestDatabase({ migrate: true })
      : await createDatabaseOn(adminUrl, { migrate: true });
  await test.pool.query(`${FAULTS_TABLES}; ${WITNESS}`);
  const file = temporaryLedger();
  const outside = openOutside(file.path);
  const redis = { url: redisUrl, prefix: uniquePrefix('sagas') };
  const services: Service[] = [];
  const transports: Transport[] = [];
  const databases: Database[] = [];
  const broker = (): Transport => {
    const transport = createBullmqTransport({ connection: redis.url, prefix: redis.prefix, ...FAULTS_BROKER });
    transports.push(transport);
    return transport;
  };
  const open = (url: string | undefined): Database => {
    const database = openDatabase({ url: url ?? test.url, max: 10 });
    databases.push(database);
    return database;
  };
  const begin = async <S extends Service>(service: S): Promise<S> => {
    services.push(service);
    await service.start();
    return service;
  };
  const sagaBy = (by: string, rest: Partial<TestSagaOptions> = {}): TestSaga =>
    testSaga({ outside, outsidePath: file.path, by, replyTimeout, ...rest });
  const saga = sagaBy('test');
  const sagas = createSagas({ database: open(undefined), sagas: [saga] });
  const started: string[] = [];

  const world: SagaWorld = {
    url: test.url,
    pool: test.pool,
    redis,
    sagas,
    saga,
    started,
    sagaBy,
    worker: async (by, { url, ...rest } = {}) =>
      begin(
        createWorker({
          ...FAULTS_WORKER,
          name: by,
          database: open(url),
          sagas: [sagaBy(by)],
          replies: { transport: broker() },
          ...rest,
        }),
      ),
    participant: async ({ url, ...rest } = {}) =>
      begin(testParticipant({ database: open(url), transport: broker(), ...rest })),
    relay: async (by, url, subscription = {}) =>
      begin(
        createRelay({
          database: open(url),
          owner: by,
          subscriptions: [{ ...SAGA_SUBSCRIPTION, ...subscription, transport: broker() }],
        }),
      ),
    child: (by, rest) =>
      startChild('saga-child.ts', { url: test.url, redis, outside: file.path, by, replyTimeout, ...rest }),
    async start(plans) {
      const ids: string[] = [];
      for (const plan of plans) {
        const run = await sagas.start(saga, plan, { key: `run-${plan.n}` });
        ids.push(run.id);
      }
      started.push(...ids);
      return ids;
    },
    async endLeases(by) {
      await test.pool.query(`UPDATE holdfast.worker SET lease_until = clock_timestamp() WHERE name = $1`, [by]);
    },
    async settled({ messages = false } = {}) {
      let left: readonly string[] = [];
      try {
        await eventually(
          'every run to end',
          async () => {
            const inDatabase = (): Promise<readonly string[]> =>
              inSnapshot(test.pool, async (client) => [
                ...(await unfinishedRuns(client)),
                ...(messages ? await unfinished(client) : []),
              ]);
            left = await inDatabase();
            // What a queue still holds can become mail for a run that has ended, and may have become it since that look.
            if (messages && left.length === 0) left = await inQueues(redis);
            if (messages && left.length === 0) left = await inDatabase();
            return left.length === 0;
          },
          // A parked delivery whose redrive died with its process is taken up again after more than a minute.
          180_000,
        );
      } catch (error) {
        throw new Error(`Not settled: ${left.slice(0, 20).join('\n')}`, { cause: error });
      }
    },
    facts: (known = [saga]) => collectSagaFacts(test.pool, known as readonly Saga[], readOutside(file.path)),
    async breaches(expectations = {}, known = [saga]) {
      return sagaBreaches(await world.facts(known), { started, ...expectations });
    },
    async statuses() {
      const { rows } = await test.pool.query<{ status: string; count: number }>(
        'SELECT status, count(*)::int AS count FROM holdfast.saga_run GROUP BY status',
      );
      return Object.fromEntries(rows.map(({ status, count }) => [status, count]));
    },
    async close() {
      await Promise.all(services.map((service) => service.stop({ signal: AbortSignal.timeout(5_000) })));
      await Promise.all(transports.map((transport) => transport.close()));
      await Promise.all(databases.map((database) => database.close()));
      await test.drop();
      outside.close();
      file.remove();
    },
  };
  return world;
}

/** The queues that hold messages, in words. */
async function inQueues({
  url,
  prefix,
}: {
  readonly url: string;
  readonly prefix: string;
}): Promise<readonly string[]> {
  const { queues } = await queuesOnRedis(url, { prefix, timeoutMs: 10_000 });
  return queues
    .filter(({ state }) => state.waiting + state.active + state.delayed > 0)
    .map(({ destination }) => `the queue ${destination} holds messages`);
}
