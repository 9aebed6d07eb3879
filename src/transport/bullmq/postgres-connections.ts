/**
 * The connections of BullMQ on PostgreSQL. Loaded with the first publisher or receiver.
 */
import { createPostgresBackend, type IQueueBackend, type PostgresQueueBackend } from 'bullmq';
import type { PoolConfig } from 'pg';
import type { BullmqConnections, PublisherConnection, ReceiverConnection } from './broker.ts';
import type { BullmqSettings } from './options.ts';
import { migrateTables } from './postgres-tables.ts';
import { accessFrom } from './queue-access.ts';

/** Connections of one publisher, and of one partition of a receiver (which has one more, to listen). */
const PUBLISHER_CONNECTIONS = 4;
const WORKER_CONNECTIONS = 2;

/** @param migrate whether the tables are made, or brought up to date, before they are used */
export function postgresConnections(config: PoolConfig, schema: string, migrate: boolean): BullmqConnections {
  const prepare = async ({ publishTimeoutMs }: BullmqSettings): Promise<void> => {
    if (migrate) await migrateTables({ ...config, connectionTimeoutMillis: publishTimeoutMs }, schema);
  };
  return {
    openPublisherConnection: (settings) => publisherConnection(config, schema, () => prepare(settings), settings),
    openReceiverConnection: (settings) => receiverConnection(config, schema, () => prepare(settings), settings),
  };
}

function publisherConnection(
  config: PoolConfig,
  schema: string,
  prepare: () => Promise<void>,
  settings: BullmqSettings,
): PublisherConnection {
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

  function ready(): Promise<IQueueBackend> {
    if (opening === undefined) {
      const attempt = open();
      opening = attempt;
      // After a failed start the next call tries again.
      attempt.catch(() => void (opening = opening === attempt ? undefined : opening));
    }
    return opening;
  }

  return {
    ready,
    reach: async () => void (await ready()),
    ping: async () => void (await (await opening)?.getQueueMetaField('ping')),
    // pg gives a connection up by itself when a query outlasts query_timeout.
    drop: () => {},
    async close() {
      const backend = await opening?.catch(() => undefined);
      await backend?.close();
    },
  };
}

function receiverConnection(
  config: PoolConfig,
  schema: string,
  prepare: () => Promise<void>,
  settings: BullmqSettings,
): ReceiverConnection {
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
    pipelines: false,
    workerConnection: () => ({
      ...config,
      schema,
      max: WORKER_CONNECTIONS,
      keepAlive: true,
      connectionTimeoutMillis: settings.publishTimeoutMs,
      // Bounds how long a server that does not answer can hold up a worker, and its stop.
      query_timeout: Math.max(settings.lockDurationMs, settings.publishTimeoutMs),
    }),
    async brokerTimeMs(_queue, backend) {
      const { pool } = (backend as PostgresQueueBackend).connection;
      const { rows } = await pool.query<{ ms: number }>(
        'SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS ms',
      );
      return Number(rows[0]?.ms);
    },
    // Names of sessions are cut off at 63 characters: nobody can be told by them.
    access: (first) => accessFrom(first, settings.naming, () => Promise.reject(new Error('names are cut off'))),
    prefix: undefined,
    factory: createPostgresBackend as never,
    disconnect: () => {},
    close: () => Promise.resolve(),
  };
}
