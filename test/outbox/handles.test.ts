/** Which handles the writer takes: those in a transaction, shown by themselves or proved by the database. */
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { afterEach, describe, expect, test } from 'vitest';
import { item } from '../../src/outbox/outbox.ts';
import type { Row, SqlExecutor, TransactionHandle } from '../../src/postgres/executor.ts';
import { unwarned } from '../support/unwarned.ts';
import { client, Keyless, OrderPlaced, outbox, server, stored, untold, useOutbox } from './lab.ts';

useOutbox();

describe('a handle that is not in a transaction is refused, and nothing is written', () => {
  const refused = { code: 'HF_NOT_IN_TRANSACTION' };
  afterEach(async () => {
    expect(await stored()).toEqual([]);
  });

  test('a pool, an idle client, a Kysely instance', async () => {
    const kysely = new Kysely({ dialect: new PostgresDialect({ pool: server.pool }) });
    for (const handle of [server.pool, client, kysely] as unknown as TransactionHandle[]) {
      await expect(outbox.send(handle, Keyless, 1)).rejects.toMatchObject(refused);
      await expect(outbox.sendAll(handle, [item(Keyless, 1)])).rejects.toMatchObject(refused);
    }
  });

  test.each([
    ['as PostgreSQL writes them', 't', 'f'],
    ['as words', 'true', 'false'],
    ['as numbers', 1, 0],
  ])('an executor that commits by itself, of a client whose own parser gives booleans %s', async (_how, yes, no) => {
    const execute: SqlExecutor = async (sql, parameters) => {
      const { rows } = await server.pool.query<Row>(sql, [...parameters]);
      return rows.map(({ answer }) => ({ answer: answer === true ? yes : answer === false ? no : answer }));
    };
    await expect(outbox.send(execute, OrderPlaced, { orderId: 'o-1' })).rejects.toMatchObject(refused);
  });

  test('an executor that commits by itself: by parameters, by batch, over a pool, in the simple protocol', async () => {
    const pooled: SqlExecutor = async (sql, parameters) => (await server.pool.query<Row>(sql, [...parameters])).rows;
    const simple: SqlExecutor = async (sql, parameters) =>
      (
        await client.query<Row>(
          sql.replaceAll(/\$(\d)/g, (_, n: string) =>
            parameters[Number(n) - 1] === null ? 'NULL' : client.escapeLiteral(String(parameters[Number(n) - 1])),
          ),
        )
      ).rows;
    for (const execute of [untold, pooled, simple]) {
      await expect(outbox.send(execute, OrderPlaced, { orderId: 'o-1' })).rejects.toMatchObject(refused);
      await expect(outbox.sendAll(execute, [item(Keyless, 1), item(Keyless, 2)])).rejects.toMatchObject(refused);
    }
  });

  test('a client whose COMMIT is under way', async () => {
    await client.query('BEGIN');
    await unwarned(async () => {
      const commit = client.query('COMMIT');
      await expect(outbox.send(client, Keyless, 1)).rejects.toMatchObject(refused);
      await commit;
    });
  });

  test('an executor that does not return rows is found out', async () => {
    const silent: SqlExecutor = async () => [];
    await expect(outbox.send(silent, Keyless, 1)).rejects.toMatchObject({ code: 'HF_TX_UNSUPPORTED' });
  });
});

describe('a handle that tells nothing, in a transaction', () => {
  test('is asked once more only while nothing has been written', async () => {
    let statements = 0;
    const counting: SqlExecutor = async (sql, parameters) => {
      statements += 1;
      return untold(sql, parameters);
    };
    await client.query('BEGIN');
    await outbox.send(counting, Keyless, 'first');
    expect(statements).toBe(2);
    await outbox.send(counting, Keyless, 'second');
    expect(statements).toBe(3);
    await client.query('COMMIT');
    expect((await stored()).map((row) => row.payload)).toEqual(['first', 'second']);
  });

  test('a client with statements under way, BEGIN among them', async () => {
    await unwarned(async () => {
      const begin = client.query('BEGIN');
      await Promise.all([begin, outbox.send(client, Keyless, 1), outbox.send(client, Keyless, 2)]);
    });
    await client.query('COMMIT');
    expect(await stored()).toHaveLength(2);
  });

  test('Kysely Transaction and ControlledTransaction', async () => {
    const kysely = new Kysely({
      dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: server.url }) }),
    });
    await kysely.transaction().execute(async (trx) => {
      await outbox.send(trx, OrderPlaced, { orderId: 'o-1' });
      await outbox.sendAll(trx, [item(OrderPlaced, { orderId: 'o-2' })]);
    });
    await expect(
      kysely.transaction().execute(async (trx) => {
        await outbox.send(trx, OrderPlaced, { orderId: 'gone' });
        throw new Error('roll back');
      }),
    ).rejects.toThrow('roll back');

    const controlled = await kysely.startTransaction().execute();
    await outbox.send(controlled, OrderPlaced, { orderId: 'o-3' });
    const savepoint = await controlled.savepoint('s').execute();
    await outbox.send(savepoint, OrderPlaced, { orderId: 'compensated' });
    await savepoint.rollbackToSavepoint('s').execute();
    await controlled.commit().execute();
    await expect(outbox.send(controlled, OrderPlaced, { orderId: 'late' })).rejects.toMatchObject({
      code: 'HF_NOT_IN_TRANSACTION',
    });

    let escaped: TransactionHandle | undefined;
    await kysely.transaction().execute(async (trx) => {
      escaped = trx;
    });
    await expect(outbox.send(escaped as TransactionHandle, OrderPlaced, { orderId: 'late' })).rejects.toMatchObject({
      code: 'HF_NOT_IN_TRANSACTION',
    });
    await kysely.destroy();
    expect((await stored()).map((row) => row.key)).toEqual(['o-1', 'o-2', 'o-3']);
  });
});
