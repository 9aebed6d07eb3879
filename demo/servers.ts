/**
 * The servers of the demo and what is on them: one PostgreSQL with a database for each service, and a broker. All of it is private
 * to this run and temporary.
 */
import { isHoldfastError, migrate, openDatabase } from '../src/index.ts';
import { startPostgres, type PostgresServer } from '../src/servers/postgres.ts';
import type { Broker, BrokerKind } from './broker.ts';
import { startBroker, type BrokerNode } from './broker-servers.ts';
import type { Databases } from './audit/books.ts';
import { SERVICES } from './services/all.ts';
import { SERVICE_NAMES, type ServiceName, type World } from './world.ts';

export type Urls = Readonly<Record<ServiceName, string>>;

export interface Servers {
  readonly postgres: PostgresServer;
  readonly broker: Broker;
  /** Of a broker that is a cluster. */
  readonly nodes: readonly BrokerNode[];
  /** Why the broker is not Redis, if nobody asked for that. */
  readonly note: string | undefined;
  dispose(): Promise<void>;
}

/** As in earnest, every commit waits for the disk. */
export async function startServers(transport: BrokerKind | 'whichever'): Promise<Servers> {
  const postgres = await startPostgres({ durable: true, settings: { max_connections: '500' } });
  try {
    // The server comes with an empty database of its own, in which BullMQ can have its tables.
    const onPostgres = {
      postgres,
      broker: { kind: 'postgres', url: postgres.url },
      nodes: [],
      dispose: () => postgres.dispose(),
    } as const;
    if (transport === 'postgres') return { ...onPostgres, note: undefined };
    const started = await startBroker(transport === 'whichever' ? 'redis' : transport).catch((error: unknown) => {
      if (transport !== 'whichever' || !isHoldfastError(error, 'HF_SERVER_MISSING')) throw error;
      return error;
    });
    if (started instanceof Error)
      return { ...onPostgres, note: `${started.message} BullMQ runs on PostgreSQL instead.` };
    return {
      postgres,
      broker: started.broker,
      nodes: started.nodes,
      note: undefined,
      dispose: async () => void (await Promise.all([postgres.dispose(), started.dispose()])),
    };
  } catch (error) {
    await postgres.dispose();
    throw error;
  }
}

/** A database for each service. */
export async function createDatabases({ adminUrl }: PostgresServer): Promise<Urls> {
  const admin = openDatabase({ url: adminUrl, max: 1 });
  try {
    for (const name of SERVICE_NAMES) await admin.query(`CREATE DATABASE ${name}`);
  } finally {
    await admin.close();
  }
  const urls = SERVICE_NAMES.map((name) => [name, Object.assign(new URL(adminUrl), { pathname: `/${name}` }).href]);
  return Object.fromEntries(urls) as Urls;
}

export function openDatabases(urls: Urls): Databases {
  const opened = SERVICE_NAMES.map((name) => [name, openDatabase({ url: urls[name], max: 2 })]);
  return Object.fromEntries(opened) as Databases;
}

/** In each database Holdfast's tables, and those of the service. */
export async function createTables(databases: Databases, world: World): Promise<void> {
  await Promise.all(
    SERVICE_NAMES.map(async (name) => {
      const service = SERVICES[name];
      await migrate(databases[name]);
      await databases[name].query(service.tables);
      await service.fill?.(databases[name], world);
    }),
  );
}

/** So that orders can go on: those of the demo have bought nearly everything. */
export async function refillServices(databases: Databases): Promise<void> {
  await Promise.all(SERVICE_NAMES.map(async (name) => SERVICES[name].refill?.(databases[name])));
}
