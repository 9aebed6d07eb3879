/** Runner for MikroORM: `holdfast/mikro-orm`. */
import type { MikroOrmTransactionHandle } from '../postgres/clients/mikro-orm.ts';
import type { Runner } from '../postgres/runner.ts';

/** An EntityManager that flushes, as those of MikroORM do. */
export interface FlushingTransaction extends MikroOrmTransactionHandle {
  flush(): Promise<void>;
}

/** What `MikroORM.init(…)` resolves with, as far as it matters here. */
export interface MikroOrm<Tx> {
  readonly em: { fork(): Tx };
}

/**
 * Consumers, participants and transaction steps in the transactions of MikroORM: `tx` is a fork of the EntityManager. What it holds back
 * is flushed when the handler is done.
 *
 * @example
 * const runner = mikroOrmRunner(orm);
 */
export function mikroOrmRunner<Tx extends FlushingTransaction>(orm: MikroOrm<Tx>): Runner<Tx> {
  return {
    transaction<T>(fn: (em: Tx) => Promise<T>) {
      const em = orm.em.fork() as Tx & { transactional(fn: (em: Tx) => Promise<T>): Promise<T> };
      return em.transactional(fn);
    },
    flush: (em) => em.flush(),
  };
}
