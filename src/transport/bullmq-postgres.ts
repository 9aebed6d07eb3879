/**
 * BullMQ on its PostgreSQL backend: for a service that has PostgreSQL and does not want Redis. Publishing and receiving are in
 * bullmq-publisher.ts and bullmq-receiver.ts; here are its connections, its tables, and what its errors mean.
 *
 * Three things are not as on Redis. BullMQ puts the message of a dead consumer, or one that goes back, at the end of the line:
 * a trigger of ours keeps its place in ordered queues. Locks and delays go by the clocks of the clients, so these must agree to
 * well within the lock duration. A chunk is one transaction, so it arrives whole or not at all.
 */
import {
  assertSchemaCompatibility,
  createPostgresBackend,
  DEFAULT_SCHEMA,
  type IQueueBackend,
  quoteSchemaName,
  runMigrations,
  SchemaMigrationRequiredError,
} from 'bullmq';
import { Client, type ClientConfig, type PoolConfig } from 'pg';
import { HoldfastError } from '../errors.ts';
import { refuseUnknownOptions } from '../runtime/options.ts';
import {
  BULLMQ_OPTIONS,
  type BullmqBroker,
  type BullmqOptions,
  type BullmqSettings,
  type PublishLink,
  type ReceiveLink,
  resolveBullmqOptions,
} from './bullmq-parts.ts';
import { bullmqPublisher } from './bullmq-publisher.ts';
import { bullmqReceiver } from './bullmq-receiver.ts';
import type { Transport } from './port.ts';
import { transportOf } from './shared.ts';

export interface BullmqPostgresTransportOptions extends BullmqOptions {
  /** `postgres://…`, or options of a node-postgres pool. Timeouts, `max` and `options` for the schema are set by the transport. */
  readonly connection: string | PoolConfig;
  /** Schema of BullMQ's tables. Default 'bullmq'. */
  readonly schema?: string;
  /** Create and update BullMQ's tables on first use. Default true; with false, run migrateBullmqPostgres at deployment. */
  readonly migrate?: boolean;
}

/** Connections of one publisher, and of one partition of a receiver (which has one more, to listen). */
const PUBLISHER_CONNECTIONS = 4;
const WORKER_CONNECTIONS = 2;

/**
 * Carries messages over BullMQ queues in PostgreSQL 14 or later.
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN
 */
export function bullmqPostgresTransport(options: BullmqPostgresTransportOptions): Transport {
  refuseUnknownOptions(options, ['connection', 'schema', 'migrate', ...BULLMQ_OPTIONS], 'bullmqPostgresTransport');
  const settings = resolveBullmqOptions(options, 'bullmqPostgresTransport');
  const config: PoolConfig =
    typeof options.connection === 'string' ? { connectionString: options.connection } : options.connection;
  const schema = options.schema ?? DEFAULT_SCHEMA;
  try {
    quoteSchemaName(schema);
  } catch (cause) {
    throw new HoldfastError('HF_CONFIG', `${JSON.stringify(schema)} cannot be a schema of BullMQ.`, {
      advice: 'Use letters, digits and underscores.',
      cause,
    });
  }
  const prepare =
    options.migrate === false
      ? (): Promise<void> => Promise.resolve()
      : (): Promise<void> =>
          migrateBullmqPostgres({ ...config, connectionTimeoutMillis: settings.publishTimeoutMs }, schema);
  const broker: BullmqBroker = {
    kind: 'bullmq-postgres',
    openPublishLink: (used) => publishLink(config, schema, prepare, used),
    openReceiveLink: (used) => receiveLink(config, schema, prepare, used),
    // BullMQ's driver parses the column and writes it out again, with JavaScript's numbers. A text it leaves as it is.
    dataOf: (wire) => JSON.stringify(wire),
    isMessageFault,
  };
  return transportOf(
    broker.kind,
    () => bullmqPublisher(broker, settings),
    (destination, handle, receive) => bullmqReceiver(broker, settings, destination, handle, receive),
    addressOf(config, schema),
  );
}

/** As it was given, without secrets; undefined where the driver takes it from the environment. */
function addressOf({ connectionString, host, port = 5432, database }: PoolConfig, schema: string): string | undefined {
  if (connectionString === undefined)
    return host === undefined ? undefined : `postgres ${host}:${port}/${database ?? ''} schema ${schema}`;
  if (!URL.canParse(connectionString)) return undefined;
  const url = new URL(connectionString);
  return `postgres ${url.hostname}:${url.port || 5432}${url.pathname} schema ${schema}`;
}

/** Data exceptions (text that jsonb cannot hold) and program limits (too large for jsonb) are about one message. */
function isMessageFault(error: Error): boolean {
  const code = 'code' in error ? String(error.code) : '';
  return code.startsWith('22') || code === '54000';
}

/**
 * Creates BullMQ's tables in `schema`, or brings them up to date, and adds the trigger that ordered queues need.
 * Does nothing when all is there; several processes may call it at once.
 */
export async function migrateBullmqPostgres(
  connection: string | ClientConfig,
  schema: string = DEFAULT_SCHEMA,
): Promise<void> {
  const client = new Client(connection);
  client.on('error', () => {}); // the query that meets the failure rejects
  await client.connect();
  try {
    try {
      await assertSchemaCompatibility(client, schema, { skipVersionCheck: true });
    } catch (error) {
      if (!(error instanceof SchemaMigrationRequiredError)) throw error;
    }
    // Reads its ledger under an advisory lock and returns at once when nothing is pending.
    await runMigrations(client, schema, { skipVersionCheck: true });
    await keepPlaces(client, quoteSchemaName(schema));
  } finally {
    await client.end();
  }
}

async function keepPlaces(client: Client, schema: string): Promise<void> {
  const there = await client.query(
    `select 1 from pg_trigger where tgrelid = '${schema}.job'::regclass and tgname = 'holdfast_keep_place'`,
  );
  if (there.rowCount !== 0) return;
  await client.query(`
    begin;
    -- The lock that the trigger needs, taken before the function is written, so that those who start at once take turns.
    set local lock_timeout = '2s';
    lock table ${schema}.job in share row exclusive mode;
    create or replace function ${schema}.holdfast_keep_place() returns trigger language plpgsql as $$
    begin
      if exists (select 1 from ${schema}.meta where queue = new.queue and field = 'holdfastOrdered') then
        new.seq := old.seq;
      end if;
      return new;
    end $$;
    create or replace trigger holdfast_keep_place before update on ${schema}.job
      for each row when (old.state = 'active' and new.state = 'waiting') execute function ${schema}.holdfast_keep_place();
    commit`);
}

function publishLink(
  config: PoolConfig,
  schema: string,
  prepare: () => Promise<void>,
  settings: BullmqSettings,
): PublishLink {
  let opening: Promise<IQueueBackend> | undefined;

  async function open(): Promise<IQueueBackend> {
    await prepare();
    const connection = {
      ...config,
      schema,
      max: config.max ?? PUBLISHER_CONNECTIONS,
      keepAlive: true,
      connectionTimeoutMillis: settings.publishTimeoutMs,
      query_timeout: settings.publishTimeoutMs,
    };
    const backend = createPostgresBackend('holdfast', { connection } as never);
    backend.on('error', (error: Error) => settings.onError(error));
    try {
      await backend.waitUntilReady();
    } catch (error) {
      await backend.close().catch(settings.onError);
      throw error;
    }
    return backend;
  }

  return {
    ready() {
      if (opening === undefined) {
        const attempt = open();
        opening = attempt;
        // A failed start is tried anew by the next call.
        attempt.catch(() => void (opening = opening === attempt ? undefined : opening));
      }
      return opening;
    },
    ping: async () => void (await (await opening)?.getQueueMetaField('ping')),
    // pg gives a connection up by itself when a query outlasts query_timeout.
    drop: () => {},
    async close() {
      const backend = await opening?.catch(() => undefined);
      await backend?.close();
    },
  };
}

function receiveLink(
  config: PoolConfig,
  schema: string,
  prepare: () => Promise<void>,
  settings: BullmqSettings,
): ReceiveLink {
  let preparing: Promise<void> | undefined;
  const ready = (): Promise<void> => {
    preparing ??= prepare().catch((error: unknown) => {
      preparing = undefined;
      throw error;
    });
    return preparing;
  };
  return {
    ready,
    reach: ready,
    // Names of sessions are cut off at 63 characters.
    seesWorkers: false,
    connection: {
      ...config,
      schema,
      max: WORKER_CONNECTIONS,
      keepAlive: true,
      connectionTimeoutMillis: settings.publishTimeoutMs,
      // Bounds how long a server that does not answer can hold up a worker, and its stop.
      query_timeout: Math.max(settings.lockDurationMs, settings.publishTimeoutMs),
    },
    prefix: undefined,
    factory: createPostgresBackend as never,
    cut: () => {},
    close: () => Promise.resolve(),
  };
}
