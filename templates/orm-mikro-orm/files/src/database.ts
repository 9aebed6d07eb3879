/** The database of this service: MikroORM, and Holdfast's own few connections beside it. */
import { defineEntity, MikroORM, p, type EntityManager } from '@mikro-orm/postgresql';
import { openDatabase, transactionFor } from 'holdfast';
import { mikroOrmRunner } from 'holdfast/mikro-orm';

export const Order = defineEntity({
  name: 'Order',
  tableName: 'orders',
  properties: {
    id: p.text().primary(),
    item: p.text(),
    amount: p.decimal('number'),
    state: p.text().default('placed'),
  },
});

export const Shipment = defineEntity({
  name: 'Shipment',
  tableName: 'shipments',
  properties: { orderId: p.text().primary(), item: p.text() },
});

/** It connects when it is used first, and is not made without an address: the test of the saga has none, and needs none. */
export const orm = new MikroORM({
  clientUrl: process.env['DATABASE_URL'] ?? 'postgres://127.0.0.1/app',
  entities: [Order, Shipment],
});
export const database = openDatabase({ url: process.env['DATABASE_URL'] });

/** How requests and consumers open their transactions, how steps of sagas do, and what both are given. */
export const unitOfWork = { runner: mikroOrmRunner<EntityManager>(orm) };
export const transaction = transactionFor(unitOfWork.runner);
export type Tx = EntityManager;
