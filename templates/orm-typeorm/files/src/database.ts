/** The database of this service: TypeORM, and Holdfast's own few connections beside it. */
import { openDatabase, transactionFor, type Runner } from 'holdfast';
import { typeormRunner } from 'holdfast/typeorm';
import { DataSource, EntitySchema, type EntityManager } from 'typeorm';

export const Order = new EntitySchema<{ id: string; item: string; amount: number; state?: string }>({
  name: 'orders',
  columns: {
    id: { type: 'text', primary: true },
    item: { type: 'text' },
    amount: { type: 'numeric' },
    state: { type: 'text', default: 'placed' },
  },
});

export const Shipment = new EntitySchema<{ orderId: string; item: string }>({
  name: 'shipments',
  columns: { orderId: { name: 'order_id', type: 'text', primary: true }, item: { type: 'text' } },
});

const dataSource = new DataSource({
  type: 'postgres',
  url: process.env['DATABASE_URL'] ?? '',
  entities: [Order, Shipment],
  // A connection that is cut while it is idle is replaced by the pool.
  poolErrorHandler: () => {},
});
let connecting: Promise<DataSource> | undefined;

/** Connects when it is used first, and tries again the next time when it could not. */
export function connected(): Promise<DataSource> {
  connecting ??= dataSource.initialize().catch((error: unknown) => {
    connecting = undefined;
    throw error;
  });
  return connecting;
}

const runner: Runner<EntityManager> = {
  transaction: async (fn) => typeormRunner(await connected()).transaction(fn),
};
export const database = openDatabase({ url: process.env['DATABASE_URL'] });

/** How requests and consumers open their transactions, how steps of sagas do, and what both are given. */
export const unitOfWork = { runner };
export const transaction = transactionFor(runner);
export type Tx = EntityManager;
