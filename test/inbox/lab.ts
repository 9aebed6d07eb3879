/**
 * What the tests of the inbox share: a migrated database with a table for effects, consumers on it, and deliveries made by hand.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { createConsumer, type Consumer } from '../../src/inbox/consumer.ts';
import type { DatabaseConsumerOptions } from '../../src/inbox/consumer-options.ts';
import { message } from '../../src/message/message-type.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { migrate } from '../../src/postgres/migrator.ts';
import { createManualClock, type ManualClock } from '../../src/testing/manual-clock.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import type { Delivery } from '../../src/transport/port.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

export const Placed = message('order.placed', {
  schema: z.object({ orderId: z.string(), n: z.number().int() }),
  key: (order) => order.orderId,
});
export const Shipped = message('order.shipped', { schema: z.object({ orderId: z.string() }) });

export interface WireOptions {
  readonly id?: string;
  readonly key?: string | null;
  readonly predecessor?: {
    readonly id: string;
    readonly at?: Date;
    readonly sentAt?: Date;
    readonly followedAt?: Date;
  };
  readonly type?: string;
  readonly time?: Date;
  readonly data?: unknown;
}

/** A wire as the relay makes it, of an order.placed unless told otherwise. */
export function wire(options: WireOptions = {}): { readonly id: string; readonly text: string } {
  const {
    id = randomUUID(),
    key = null,
    predecessor,
    type = 'order.placed',
    time = new Date(),
    data = { orderId: 'o-1', n: 1 },
  } = options;
  const text = JSON.stringify({
    specversion: '1.0',
    holdfast: 1,
    schemaversion: 1,
    source: 'test',
    id,
    type,
    ...(key === null ? {} : { subject: key }),
    time: time.toISOString(),
    datacontenttype: 'application/json',
    ...(predecessor === undefined
      ? {}
      : {
          predecessorid: predecessor.id,
          predecessorat: (predecessor.at ?? new Date()).toISOString(),
          ...(predecessor.sentAt === undefined ? {} : { predecessorsentat: predecessor.sentAt.toISOString() }),
          ...(predecessor.followedAt === undefined ? {} : { sentat: predecessor.followedAt.toISOString() }),
        }),
    data,
  });
  return { id, text };
}

export function delivery(
  wireOf: { readonly text: string } | string,
  rest: Partial<Omit<Delivery, 'wire'>> = {},
): Delivery {
  return {
    wire: typeof wireOf === 'string' ? wireOf : wireOf.text,
    redeliveries: 0,
    signal: new AbortController().signal,
    ...rest,
  };
}

export interface Lab {
  readonly test: TestDatabase;
  readonly database: Database;
  /** Waits are over at once: no jitter, except where a test gives its own `random`. */
  make(options: Partial<DatabaseConsumerOptions> & Pick<DatabaseConsumerOptions, 'handlers'>, name?: string): Consumer;
  effects(id?: string): Promise<readonly { readonly id: string; readonly note: string }[]>;
  count(table: 'inbox' | 'parked_delivery' | 'delivery_attempt' | 'idempotency_key' | 'audit'): Promise<number>;
  parked(id?: string): Promise<readonly ParkedColumns[]>;
  /** Lets no connection in and cuts those there are, until `true` is given. */
  reachable(yes: boolean): Promise<void>;
  dispose(): Promise<void>;
}

export interface ParkedColumns {
  readonly message_id: string;
  readonly state: string;
  readonly reason: string;
  readonly error: string | null;
  readonly attempts: number;
  readonly redrives: number;
  readonly next_attempt_at: Date | null;
  readonly envelope: unknown;
}

export async function openLab(): Promise<Lab> {
  const test = await createTestDatabase();
  const database = openDatabase({ url: test.url, max: 8 });
  await migrate(database);
  await test.pool.query('CREATE TABLE effect (id uuid NOT NULL, note text NOT NULL, at bigserial)');
  const adminUrl = Object.assign(new URL(test.url), { pathname: '/postgres' }).href;
  const admin = openDatabase({ url: adminUrl, max: 1 });
  const name = new URL(test.url).pathname.slice(1);
  return {
    test,
    database,
    make(options, consumerName = 'shipping') {
      return createConsumer(consumerName, {
        database,
        transport: createMemoryTransport(),
        random: () => 0,
        redeliveryHorizon: '1d',
        ...options,
      });
    },
    async effects(id) {
      const { rows } = await test.pool.query<{ id: string; note: string }>(
        'SELECT id, note FROM effect WHERE $1::uuid IS NULL OR id = $1 ORDER BY at',
        [id ?? null],
      );
      return rows;
    },
    async count(table) {
      const { rows } = await test.pool.query<{ n: number }>(`SELECT count(*)::int AS n FROM holdfast.${table}`);
      return rows[0]?.n ?? 0;
    },
    async parked(id) {
      const { rows } = await test.pool.query<ParkedColumns>(
        'SELECT * FROM holdfast.parked_delivery WHERE $1::uuid IS NULL OR message_id = $1 ORDER BY position',
        [id ?? null],
      );
      return rows;
    },
    async reachable(yes) {
      await admin.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS ${yes}`);
      if (!yes) {
        await admin.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [name]);
      }
    },
    async dispose() {
      await admin.close();
      await database.close();
      await test.drop();
    },
  };
}

/** Everything the handlers of one test share a table with is removed. */
export async function clean(lab: Lab): Promise<void> {
  await lab.test.pool.query(
    'TRUNCATE effect, holdfast.inbox, holdfast.parked_delivery, holdfast.delivery_attempt, holdfast.idempotency_key, holdfast.audit',
  );
}

/** A promise with its handles outside. */
export function signal(): { readonly promise: Promise<void>; readonly fire: () => void } {
  let fire = (): void => {};
  const promise = new Promise<void>((resolve) => {
    fire = resolve;
  });
  return { promise, fire };
}

/** A manual clock whose wall clock shows the real time, as the database's does. */
export function manualClock(): ManualClock {
  return createManualClock(Date.now());
}
