/**
 * The service whose messages the promises are checked on: counters, one per key, each raised under its row lock, so that the number in
 * a message is exactly the commit order of its key. Beside the outbox row every transaction writes a `fact`, and consumers
 * write an `effect`: plain tables without constraints, so that a double effect shows as two rows.
 */
import type pg from 'pg';
import { z } from 'zod';
import { message } from '../../../src/message/message-type.ts';
import { messageId } from '../../../src/message/id.ts';
import { createOutbox } from '../../../src/outbox/outbox.ts';
import { createTestDatabase, type TestDatabase } from '../servers.ts';

export interface Tick {
  readonly key: string;
  readonly n: number;
  readonly pad?: string | undefined;
}

export const Tick = message('faults.tick', {
  schema: z.object({ key: z.string(), n: z.number(), pad: z.string().optional() }),
  key: ({ key }) => key,
});

export const outbox = createOutbox({ source: 'faults' });

const TABLES = `
  CREATE TABLE counter (key text PRIMARY KEY, n integer NOT NULL);
  CREATE TABLE fact (id uuid PRIMARY KEY, key text NOT NULL, n integer NOT NULL);
  CREATE TABLE effect (position bigint GENERATED ALWAYS AS IDENTITY, consumer text, message_id uuid, key text, n integer)`;

export async function createDomain(pool: pg.Pool, keys: readonly string[]): Promise<void> {
  await pool.query(TABLES);
  await pool.query('INSERT INTO counter SELECT key, 0 FROM unnest($1::text[]) AS key', [keys]);
}

/** A migrated database of its own with the domain's tables. */
export async function createDomainDatabase(keys: readonly string[]): Promise<TestDatabase> {
  const database = await createTestDatabase({ migrate: true });
  await createDomain(database.pool, keys);
  return database;
}

/** Raises the counter and says so, in the caller's transaction. Give the id to be able to find out what became of it. */
export async function tick(
  tx: pg.ClientBase,
  key: string,
  options: { readonly id?: string; readonly pad?: string } = {},
): Promise<{ id: string; n: number }> {
  const id = options.id ?? messageId();
  const raised = await tx.query<{ n: number }>('UPDATE counter SET n = n + 1 WHERE key = $1 RETURNING n', [key]);
  const n = raised.rows[0]?.n;
  if (n === undefined) throw new TypeError(`no counter ${key}`);
  await outbox.send(tx, Tick, { key, n, ...(options.pad === undefined ? {} : { pad: options.pad }) }, { id });
  await tx.query('INSERT INTO fact (id, key, n) VALUES ($1, $2, $3)', [id, key, n]);
  return { id, n };
}

/** `times` ticks of each key, one after the other, three to a transaction; then one transaction that is rolled back. */
export async function writeTicks(pool: pg.Pool, keys: readonly string[], times: number): Promise<void> {
  const client = await pool.connect();
  try {
    for (let round = 0; round < times; round += 1) {
      await client.query('BEGIN');
      for (const key of keys) await tick(client, key);
      await client.query('COMMIT');
    }
    await client.query('BEGIN');
    for (const key of keys) await tick(client, key);
    await client.query('ROLLBACK');
  } finally {
    client.release();
  }
}

/** The effect of one message at one consumer, in the handler's transaction. */
export async function effect(tx: pg.ClientBase, consumer: string, id: string, { key, n }: Tick): Promise<void> {
  await tx.query('INSERT INTO effect (consumer, message_id, key, n) VALUES ($1, $2, $3, $4)', [consumer, id, key, n]);
}
