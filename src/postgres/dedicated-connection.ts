/**
 * A connection outside the pool, with the same settings: for leases, logs and wake-ups, which must not wait for others.
 */
import pg from 'pg';
import { destroySocket } from './checkout.ts';
import { OWN_TYPES } from './own-results.ts';

export interface DedicatedConnectionOptions {
  /** Called once when the connection is lost, but not when it is ended on purpose. */
  readonly onLost: (error: Error) => void;
  /** Default: the database's application name. */
  readonly applicationName?: string | undefined;
  /** How long an answer is waited for before the query rejects, in milliseconds: the way out when the network falls silent. Default: for ever. */
  readonly queryTimeoutMs?: number | undefined;
}

/** For connections of our own on a pool that says nothing of it, in milliseconds. */
const CONNECT_TIMEOUT_MS = 10_000;

/** How long a server may take to close a connection that is ended, in milliseconds. */
const END_TIMEOUT_MS = 2_000;

/** Connected; the caller ends it. */
export async function dedicatedConnection(
  pool: pg.Pool,
  options: DedicatedConnectionOptions,
  applicationName: string | undefined,
): Promise<pg.Client> {
  const client = new pg.Client({
    ...pool.options,
    connectionTimeoutMillis: pool.options.connectionTimeoutMillis || CONNECT_TIMEOUT_MS,
    types: OWN_TYPES,
    ...(options.queryTimeoutMs === undefined ? {} : { query_timeout: options.queryTimeoutMs }),
    // The pool hides the password from enumeration.
    ...(pool.options.password === undefined ? {} : { password: pool.options.password }),
    application_name: options.applicationName ?? applicationName ?? pool.options.application_name ?? 'holdfast',
  });
  let connected = false;
  let over = false;
  const lost = (error: Error) => {
    if (over || !connected) return;
    over = true;
    options.onLost(error);
  };
  client.on('error', lost);
  client.on('end', () => lost(new Error('Connection terminated unexpectedly')));
  const end = client.end.bind(client);
  client.end = async (): Promise<void> => {
    over = true;
    // A peer that has fallen silent never answers the good-bye.
    const cut = setTimeout(() => destroySocket(client), END_TIMEOUT_MS);
    await end().finally(() => clearTimeout(cut));
  };
  try {
    await client.connect();
  } catch (error) {
    await client.end().catch(() => undefined);
    throw error;
  }
  connected = true;
  return client;
}
