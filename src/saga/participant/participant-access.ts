/**
 * How a participant gets at the database: through a Database of Holdfast's, or through the runner of a client or ORM of the user's.
 */
import type { PoolClient } from 'pg';
import { HoldfastError } from '../../errors.ts';
import { createConsumer, type Consumer } from '../../inbox/consumer.ts';
import type { CommonConsumerOptions } from '../../inbox/consumer-options.ts';
import type { Handler } from '../../inbox/handlers/handler.ts';
import type { Row, SqlExecutor, TransactionHandle } from '../../postgres/executor.ts';
import { isPgClient, lend, type LentClient } from '../../postgres/lent-client.ts';
import { DEFAULT_SCHEMA } from '../../postgres/quoting.ts';
import { executorIn, handleBy } from '../../postgres/runner.ts';
import { limitFrozenIn } from '../../postgres/transaction.ts';
import type { LentTransaction } from './answer-message.ts';
import type { DatabaseParticipantOptions, RunnerParticipantOptions } from './participant-options.ts';
import { createParticipantStore, type ParticipantStore } from './participant-store.ts';

export interface ParticipantAccess<Tx> {
  readonly schema: string;
  readonly store: ParticipantStore;
  readonly lend: (tx: Tx) => LentTransaction<Tx>;
  readonly transaction: <T>(fn: (execute: SqlExecutor) => Promise<T>) => Promise<T>;
  readonly consumer: (name: string, handlers: readonly Handler<Tx>[], rest: CommonConsumerOptions) => Consumer;
}

/** How long a chunk of pruning may take, in milliseconds. */
const PRUNE_TIMEOUT_MS = 30_000;

export function participantDatabaseAccess(
  name: string,
  { database }: Pick<DatabaseParticipantOptions, 'database'>,
): ParticipantAccess<PoolClient> {
  const executorOf =
    (tx: PoolClient): SqlExecutor =>
    async (sql, parameters) =>
      (await tx.query(sql, [...parameters])).rows as readonly Row[];
  const schema = database?.schema ?? DEFAULT_SCHEMA;
  return {
    schema,
    store: createParticipantStore(schema, name),
    lend(tx) {
      const lent = lend(tx);
      return lentBy(lent, lent.tx);
    },
    transaction: (fn) => database.transaction((client) => fn(executorOf(client)), { timeoutMs: PRUNE_TIMEOUT_MS }),
    consumer: (own, handlers, rest) => createConsumer(own, { ...rest, database, handlers }),
  };
}

export function participantRunnerAccess<Tx>(
  name: string,
  { runner, schema = DEFAULT_SCHEMA }: RunnerParticipantOptions<Tx>,
): ParticipantAccess<Tx> {
  return {
    schema,
    store: createParticipantStore(schema, name),
    lend(tx) {
      if (isPgClient(tx)) {
        const lent = lend(tx);
        return lentBy(lent, handleBy(runner, lent.tx));
      }
      // The ORM's own handle cannot be taken back; what is sent through the outbox can.
      const execute = executorIn(runner, tx);
      let over = false;
      const handle: SqlExecutor = (sql, parameters) => (over ? Promise.reject(tooLate()) : execute(sql, parameters));
      return {
        tx,
        handle,
        trouble: () => null,
        restoreRole: () => Promise.resolve(),
        takeBack: () => (over = true),
      };
    },
    transaction: (fn) =>
      runner.transaction(async (tx) => {
        const execute = executorIn(runner, tx);
        await limitFrozenIn(execute);
        return fn(execute);
      }),
    consumer: (own, handlers, rest) => createConsumer<Tx>(own, { ...rest, runner, schema, handlers }),
  };
}

/** Each method by itself: what is lent is an object of a class, and a copy of its properties would have none. */
function lentBy<Tx>(lent: LentClient<Tx>, handle: TransactionHandle): LentTransaction<Tx> {
  return {
    tx: lent.tx,
    handle,
    trouble: () => lent.trouble(),
    restoreRole: () => lent.restoreRole(),
    takeBack: () => lent.takeBack(),
  };
}

function tooLate(): HoldfastError {
  return new HoldfastError('HF_NOT_IN_TRANSACTION', 'The handler is over, and its transaction with it.', {
    advice: 'Await all sends before the handler ends.',
  });
}
