/** The database of this service: Sequelize, and Holdfast's own few connections beside it. */
import { openDatabase, transactionFor } from 'holdfast';
import { sequelizeRunner } from 'holdfast/sequelize';
import { DataTypes, Sequelize, type Model, type Transaction } from 'sequelize';

/** It connects when it is used first, and is not made without an address: the test of the saga has none, and needs none. */
const sequelize = new Sequelize(process.env['DATABASE_URL'] ?? 'postgres://127.0.0.1/app', { logging: false });

interface OrderRow {
  id: string;
  item: string;
  amount: number;
  state?: string;
}

export const Order = sequelize.define<Model<OrderRow> & OrderRow>(
  'orders',
  {
    id: { type: DataTypes.TEXT, primaryKey: true },
    item: DataTypes.TEXT,
    amount: DataTypes.DECIMAL,
    state: { type: DataTypes.TEXT, defaultValue: 'placed' },
  },
  { timestamps: false },
);

export const Shipment = sequelize.define(
  'shipments',
  { orderId: { type: DataTypes.TEXT, primaryKey: true, field: 'order_id' }, item: DataTypes.TEXT },
  { timestamps: false },
);

export const database = openDatabase({ url: process.env['DATABASE_URL'] });

/** How requests and consumers open their transactions, how steps of sagas do, and what both are given. */
export const unitOfWork = { runner: sequelizeRunner<Transaction>(sequelize) };
export const transaction = transactionFor(unitOfWork.runner);
export type Tx = Transaction;
