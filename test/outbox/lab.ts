/**
 * A migrated database, one connection of the test's own, and what ended up in the tables.
 */
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import type { Row, SqlExecutor } from '../../src/postgres/executor.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

export const OrderPlaced = message('order.placed', {
  schema: z.object({ orderId: z.string(), note: z.string().optional() }),
  key: (order) => order.orderId,
  version: 1,
});
export const Keyless = message('tick', { schema: z.unknown() });
export const outbox = createOutbox({ source: 'orders' });

export interface StoredRow {
  readonly id: string;
  readonly seq: string;
  readonly xid: string;
  readonly topic: string;
  readonly key: string | null;
  readonly lane: number;
  readonly payload: unknown;
  readonly headers: unknown;
}

export interface ScheduledRow {
  readonly id: string;
  readonly due_at: Date;
  readonly seconds: number;
  readonly payload: unknown;
  readonly key: string | null;
}

export let server: TestDatabase;
/** New for every test. */
export let client: pg.Client;

/** To be called once in each test file. */
export function useOutbox(): void {
  beforeAll(async () => {
    server = await createTestDatabase({ migrate: true });
  });
  afterAll(async () => {
    await server.drop();
  });
  beforeEach(async () => {
    await server.pool.query('TRUNCATE holdfast.outbox, holdfast.scheduled_message');
    client = new pg.Client(server.url);
    await client.connect();
  });
  afterEach(async () => {
    await client.end();
  });
}

export async function stored(): Promise<StoredRow[]> {
  return (await server.pool.query<StoredRow>('SELECT * FROM holdfast.outbox ORDER BY seq')).rows;
}

export async function scheduled(): Promise<ScheduledRow[]> {
  const { rows } = await server.pool.query<ScheduledRow>(
    'SELECT *, extract(epoch FROM due_at - created_at)::float8 AS seconds FROM holdfast.scheduled_message ORDER BY id',
  );
  return rows;
}

/** Any client that tells nothing about its transaction. */
export const untold: SqlExecutor = async (sql, parameters) => (await client.query<Row>(sql, [...parameters])).rows;
