/**
 * BullMQ on its PostgreSQL backend, for a service that has PostgreSQL and does not want Redis. Here are the options, and what errors mean.
 * publisher.ts and receiver.ts do the work. postgres-connections.ts and postgres-tables.ts are loaded with the first publisher or receiver.
 *
 * Three things differ from Redis:
 * - BullMQ puts a message that goes back, or that a dead consumer held, at the end of the queue. A trigger of ours keeps its place in
 *   ordered queues.
 * - Locks and delays go by the clocks of the clients. They must agree much more closely than the lock duration.
 * - A chunk is one transaction: it arrives whole or not at all.
 */
import type { ClientConfig, PoolConfig } from 'pg';
import { HoldfastError } from '../../errors.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { type BullmqBroker, loading } from './broker.ts';
import {
  BULLMQ_OPTIONS,
  bullmqAbilities,
  type BullmqOptions,
  DEFAULT_BULLMQ_SCHEMA,
  resolveBullmqOptions,
} from './options.ts';
import { bullmqPublisher } from './publisher.ts';
import { bullmqReceiver } from './receiver.ts';
import type { Transport } from '../port.ts';
import { transportOf } from '../shared.ts';

/** Options of {@link createBullmqPostgresTransport}. */
export interface BullmqPostgresTransportOptions extends BullmqOptions {
  /** `postgres://…`, or options of a node-postgres pool. Timeouts, `max` and `options` for the schema are set by the transport. */
  readonly connection: string | PoolConfig;
  /**
   * Schema of BullMQ's tables.
   *
   * @defaultValue 'bullmq'
   */
  readonly schema?: string | undefined;
  /**
   * Create and update BullMQ's tables on first use. With false, run migrateBullmqPostgres at deployment.
   *
   * @defaultValue true
   */
  readonly migrate?: boolean | undefined;
}

/** What BullMQ takes. */
const SCHEMA_NAME = /^[A-Za-z_][A-Za-z0-9_$]{0,62}$/;

/**
 * Carries messages over BullMQ queues in PostgreSQL 14 or later.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN
 * @example
 * const transport = createBullmqPostgresTransport({ connection: 'postgres://localhost/app' });
 */
export function createBullmqPostgresTransport(options: BullmqPostgresTransportOptions): Transport {
  refuseUnknownOptions(
    options,
    ['connection', 'schema', 'migrate', ...BULLMQ_OPTIONS],
    'createBullmqPostgresTransport',
  );
  const settings = resolveBullmqOptions(options, 'createBullmqPostgresTransport');
  const config: PoolConfig =
    typeof options.connection === 'string' ? { connectionString: options.connection } : options.connection;
  const schema = options.schema ?? DEFAULT_BULLMQ_SCHEMA;
  if (!SCHEMA_NAME.test(schema))
    throw new HoldfastError('HF_CONFIG', `${JSON.stringify(schema)} cannot be a schema of BullMQ.`, {
      advice: 'Use letters, digits and underscores.',
    });
  const kind = 'bullmq-postgres';
  const broker: BullmqBroker = {
    kind,
    load: () =>
      loading(kind, async () => {
        const { postgresConnections } = await import('./postgres-connections.ts');
        return postgresConnections(config, schema, options.migrate !== false);
      }),
    // BullMQ's driver parses the column and writes it out again, with JavaScript's numbers. A text it leaves as it is.
    dataOf: (wire) => JSON.stringify(wire),
    isMessageFault,
  };
  return transportOf({
    kind,
    abilities: bullmqAbilities(settings),
    address: addressOf(config, schema),
    publisher: () => bullmqPublisher(broker, settings),
    receiver: (destination, handle, receive) =>
      bullmqReceiver({ broker, settings, destination, handle, options: receive }),
  });
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
 *
 * @example
 * await migrateBullmqPostgres('postgres://localhost/app');
 */
export async function migrateBullmqPostgres(
  connection: string | ClientConfig,
  schema: string = DEFAULT_BULLMQ_SCHEMA,
): Promise<void> {
  const { migrateTables } = await import('./postgres-tables.ts');
  await migrateTables(connection, schema);
}
