/** Sequelize, with a model. */
import { DataTypes, QueryTypes, Sequelize, type Transaction } from 'sequelize';
import { sequelizeRunner } from '../../src/adapters/sequelize.ts';
import { describeClient } from './conformance.ts';

describeClient<Transaction>('Sequelize', async (url) => {
  const sequelize = new Sequelize(url, { logging: false, pool: { max: 4 }, dialectOptions: { keepAlive: true } });
  const Effect = sequelize.define(
    'effect',
    { id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true }, what: DataTypes.TEXT },
    { timestamps: false, freezeTableName: true },
  );
  return {
    runner: sequelizeRunner(sequelize),
    root: sequelize,
    write: (transaction, what) => Effect.create({ what }, { transaction }),
    fail: (transaction) => sequelize.query('SELECT 1 / 0', { transaction }),
    nested: (transaction, fn) => sequelize.transaction({ transaction }, fn),
    read: async (transaction, text) => (await sequelize.query(text, { transaction, type: QueryTypes.SELECT }))[0],
    close: () => sequelize.close(),
  };
});
