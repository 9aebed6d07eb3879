/** TypeORM, with its entities. */
import { DataSource, EntitySchema, type EntityManager } from 'typeorm';
import { typeormRunner } from '../../src/adapters/typeorm.ts';
import { describeClient } from './conformance.ts';

const Effect = new EntitySchema<{ id?: string; what: string }>({
  name: 'effect',
  columns: { id: { type: 'bigint', primary: true, generated: true }, what: { type: 'text' } },
});

describeClient<EntityManager>('TypeORM', async (url) => {
  const dataSource = new DataSource({
    type: 'postgres',
    url,
    entities: [Effect],
    extra: { max: 4 },
    poolErrorHandler: () => {},
  });
  await dataSource.initialize();
  return {
    runner: typeormRunner(dataSource),
    root: dataSource.manager,
    write: (tx, what) => tx.insert(Effect, { what }),
    fail: (tx) => tx.query('SELECT 1 / 0'),
    nested: (tx, fn) => tx.transaction(fn),
    read: async (tx, text) => (await tx.query<readonly unknown[]>(text))[0],
    close: () => dataSource.destroy(),
  };
});
