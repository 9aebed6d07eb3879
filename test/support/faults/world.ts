/**
 * A whole world for a fault-injection test: a database that is service and consumer, a ledger, a broker, and any number of relays and consumers in
 * this process, each reaching the database by an address of its own (a proxy, say). Everything is ended by `close`.
 */
import type pg from 'pg';
import { openDatabase, type Database } from '../../../src/postgres/database.ts';
import type { Consumer } from '../../../src/inbox/consumer.ts';
import { createRelay, type Relay } from '../../../src/relay/relay.ts';
import type { SubscriptionOptions } from '../../../src/relay/subscription/options.ts';
import { createBullmqTransport, type BullmqTransportOptions } from '../../../src/transport/bullmq/redis-transport.ts';
import type { Transport } from '../../../src/transport/port.ts';
import { eventually } from '../eventually.ts';
import { createDatabaseOn, createTestDatabase, sharedRedisUrl, uniquePrefix } from '../servers.ts';
import {
  breaches,
  collectFacts,
  inSnapshot,
  unfinished,
  type Expectations,
  type Facts,
  type Queryable,
} from './checker.ts';
import { FAULTS_BROKER, testConsumer, type TestConsumerOptions } from './consumers.ts';
import { createDomain } from './domain.ts';
import { ledgerTransport, type LedgerTransportOptions } from './ledger-transport.ts';
import { openLedger, readLedger, temporaryLedger, type PublishedEntry } from './ledger.ts';
import { FAULTS_SUBSCRIPTION } from './relays.ts';

export interface WorldOptions {
  readonly keys: readonly string[];
  /** Of a PostgreSQL of the test's own; default the shared one. */
  readonly adminUrl?: string;
  /** Of a Redis of the test's own; default the shared one. */
  readonly redisUrl?: string;
  /** What carries messages. Default: BullMQ on Redis. */
  readonly createTransport?: (options: BullmqTransportOptions) => Transport;
  /** Of that. */
  readonly broker?: Pick<BullmqTransportOptions, 'queues' | 'maxMessageBytes' | 'replicas'>;
}

export interface World {
  readonly url: string;
  readonly pool: pg.Pool;
  readonly ledger: string;
  readonly redis: { readonly url: string; readonly prefix: string };
  relay(
    by: string,
    options?: Pick<Partial<LedgerTransportOptions>, 'gate' | 'misbehaviour'> & {
      readonly url?: string;
      readonly subscription?: Partial<SubscriptionOptions>;
    },
  ): Promise<Relay>;
  consumer(options: Omit<TestConsumerOptions, 'database' | 'transport'> & { readonly url?: string }): Promise<Consumer>;
  published(): readonly PublishedEntry[];
  facts(): Promise<Facts>;
  /** Resolves once relays have nothing left to do and every consumer has an effect of every message, or has parked it. */
  settled(consumers: readonly string[]): Promise<void>;
  breaches(expectations?: Expectations): Promise<readonly string[]>;
  close(): Promise<void>;
}

export async function createWorld(options: WorldOptions): Promise<World> {
  const { keys, adminUrl, redisUrl = sharedRedisUrl() } = options;
  const test =
    adminUrl === undefined
      ? await createTestDatabase({ migrate: true })
      : await createDatabaseOn(adminUrl, { migrate: true });
  await createDomain(test.pool, keys);
  const file = temporaryLedger();
  const ledger = openLedger(file.path);
  const redis = { url: redisUrl, prefix: uniquePrefix('faults') };
  const services: (Relay | Consumer)[] = [];
  const transports: Transport[] = [];
  const databases: Database[] = [];
  const broker = (): Transport => {
    const transport = (options.createTransport ?? createBullmqTransport)({
      connection: redis.url,
      prefix: redis.prefix,
      ...FAULTS_BROKER,
      ...options.broker,
    });
    transports.push(transport);
    return transport;
  };
  const open = (url: string | undefined): Database => {
    const database = openDatabase({ url: url ?? test.url, max: 10 });
    databases.push(database);
    return database;
  };

  const world: World = {
    url: test.url,
    pool: test.pool,
    ledger: file.path,
    redis,
    async relay(by, { url, subscription, ...gated } = {}) {
      const transport = ledgerTransport({ ledger, by, inner: broker(), ...gated });
      const routes = [{ topics: '**', to: 'exact', ordered: true }];
      const relay = createRelay({
        database: open(url),
        owner: by,
        subscriptions: [{ ...FAULTS_SUBSCRIPTION, routes, ...subscription, transport }],
      });
      services.push(relay);
      await relay.start();
      return relay;
    },
    async consumer({ url, ...rest }) {
      const started = testConsumer({ ...rest, database: open(url), transport: broker() });
      services.push(started);
      await started.start();
      return started;
    },
    published: () => readLedger(file.path),
    facts: () => collectFacts(test.pool, readLedger(file.path)),
    async settled(consumers) {
      let left: readonly string[] = [];
      try {
        await eventually('everything to be delivered', async () => {
          left = await inSnapshot(test.pool, async (client) => [
            ...(await unfinished(client)),
            ...(await unhandled(client, consumers)),
          ]);
          return left.length === 0;
        });
      } catch (error) {
        throw new Error(`Not settled: ${left.slice(0, 20).join('\n')}`, { cause: error });
      }
    },
    async breaches(expectations) {
      return breaches(await world.facts(), expectations);
    },
    async close() {
      await Promise.all(services.map((service) => service.stop({ signal: AbortSignal.timeout(5_000) })));
      await Promise.all(transports.map((transport) => transport.close()));
      await Promise.all(databases.map((database) => database.close()));
      await test.drop();
      ledger.close();
      file.remove();
    },
  };
  return world;
}

/** Messages that a consumer has neither handled nor parked, and that no relay has parked. */
export async function unhandled(pool: Queryable, consumers: readonly string[]): Promise<readonly string[]> {
  const { rows } = await pool.query<{ what: string }>(
    `SELECT format('%s has not handled %s%s', c.name, f.key, f.n) AS what FROM fact f, unnest($1::text[]) AS c (name)
     WHERE NOT EXISTS (SELECT 1 FROM effect e WHERE e.consumer = c.name AND e.message_id = f.id)
       AND NOT EXISTS (SELECT 1 FROM holdfast.parked_delivery d WHERE d.consumer = c.name AND d.message_id = f.id)
       AND NOT EXISTS (SELECT 1 FROM holdfast.parked_message p WHERE p.id = f.id)`,
    [consumers],
  );
  return rows.map(({ what }) => what);
}
