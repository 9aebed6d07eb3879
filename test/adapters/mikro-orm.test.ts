/** MikroORM, with entities that it holds back until it flushes. */
import { defineEntity, MikroORM, p, type EntityManager } from '@mikro-orm/postgresql';
import { mikroOrmRunner } from '../../src/adapters/mikro-orm.ts';
import { describeClient } from './conformance.ts';

const Effect = defineEntity({
  name: 'Effect',
  tableName: 'effect',
  properties: { id: p.bigint().primary().autoincrement(), what: p.text() },
});

describeClient<EntityManager>('MikroORM', async (url) => {
  // It does not give a connection back whose COMMIT broke, and here several do.
  const orm = await MikroORM.init({ clientUrl: url, entities: [Effect], pool: { min: 0, max: 12 } });
  return {
    runner: mikroOrmRunner(orm),
    root: orm.em.fork(),
    write: async (em, what) => void em.persist(em.create(Effect, { what })),
    fail: (em) => em.execute('SELECT 1 / 0'),
    nested: (em, fn) => em.transactional(fn),
    read: async (em, text) => (await em.execute<readonly unknown[]>(text))[0],
    // It would wait for ever for the connections that it has not given back.
    close: async () => void orm.close(),
  };
});
