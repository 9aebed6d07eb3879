/**
 * What the compiler knows in a handler, without an annotation.
 */
import type { Kysely, Transaction } from 'kysely';
import type { PoolClient } from 'pg';
import { expectTypeOf } from 'vitest';
import { z } from 'zod';
import { createConsumer } from '../../src/inbox/consumer.ts';
import { handlersFor, on } from '../../src/inbox/handlers/handler.ts';
import type { Runner } from '../../src/postgres/runner.ts';
import type { Envelope } from '../../src/message/envelope.ts';
import { message } from '../../src/message/message-type.ts';
import { createParticipant } from '../../src/saga/participant/participant.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import type { Database } from '../../src/postgres/database.ts';
import type { Transport } from '../../src/transport/port.ts';

interface Tables {
  effect: { id: string };
}
const Placed = message('order.placed', {
  schema: z.object({ at: z.string().transform((text) => new Date(text)), n: z.number().default(1) }),
});
const Shipped = message('order.shipped', { schema: z.object({ n: z.number().default(1) }) });
declare const database: Database;
declare const transport: Transport;
declare const db: Kysely<Tables>;
declare const runner: Runner<Transaction<Tables>>;

// With a database: the payload is the schema's output, tx a PoolClient.
createConsumer('a', {
  database,
  transport,
  outbox: createOutbox(),
  handlers: [
    on(Placed, async (order, { tx, message: envelope, signal, attempt, send }) => {
      expectTypeOf(order).toEqualTypeOf<{ at: Date; n: number }>();
      expectTypeOf(tx).toEqualTypeOf<PoolClient>();
      expectTypeOf(envelope).toEqualTypeOf<Envelope>();
      expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
      expectTypeOf(attempt).toEqualTypeOf<number>();
      // What is sent is the schema's input.
      await send(Shipped, {});
      // @ts-expect-error wrong payload
      await send(Shipped, { n: 'one' });
      // @ts-expect-error unknown option
      await send(Shipped, {}, { keys: 'k' });
    }),
    on(Shipped, ({ n }) => expectTypeOf(n).toEqualTypeOf<number>(), {
      kind: 'idempotent',
      retry: { attempts: 3 },
      timeout: '5s',
    }),
    // @ts-expect-error unknown kind
    on(Shipped, () => {}, { kind: 'twice' }),
  ],
});

createConsumer('several', { database, transport, handlers: [on(Shipped, () => {})], batch: true });
createConsumer('several', { database, transport, handlers: [on(Shipped, () => {})], batch: { size: 5, within: '1s' } });
// @ts-expect-error no options of a batch
createConsumer('several', { database, transport, handlers: [on(Shipped, () => {})], batch: 5 });
// @ts-expect-error unknown option
createConsumer('several', { database, transport, handlers: [on(Shipped, () => {})], batch: { count: 5 } });

// With a runner: tx is what it opens.
createConsumer('b', {
  runner,
  transport,
  handlers: (onTrx) => [
    onTrx(Placed, (order, { tx }) => {
      expectTypeOf(order.at).toEqualTypeOf<Date>();
      expectTypeOf(tx).toEqualTypeOf<Transaction<Tables>>();
    }),
  ],
});
const onTrx = handlersFor<Transaction<Tables>>();
createConsumer('c', {
  runner,
  transport,
  handlers: [onTrx(Placed, (_order, { tx }) => expectTypeOf(tx).toEqualTypeOf<Transaction<Tables>>())],
});

const pgHandler = on(Placed, async (_order, { tx }) => void (await tx.query('SELECT 1')));
// @ts-expect-error a handler for PoolClients does not fit a consumer on Kysely
createConsumer('d', { runner, transport, handlers: [pgHandler] });
// @ts-expect-error neither database nor runner
createConsumer('e', { transport, handlers: [] });

// As the documentation writes it: the runner in place, what it opens named once.
createConsumer<Transaction<Tables>>('f', {
  runner: { transaction: (fn) => db.transaction().execute(fn) },
  transport,
  handlers: (onTransaction) => [
    onTransaction(Placed, async (order, { tx, attempt }) => {
      expectTypeOf(order.at).toEqualTypeOf<Date>();
      expectTypeOf(attempt).toEqualTypeOf<number>();
      expectTypeOf(tx).toEqualTypeOf<Transaction<Tables>>();
      await tx.insertInto('effect').values({ id: 'i' }).execute();
      // @ts-expect-error no such column
      await tx.insertInto('effect').values({ n: 1 }).execute();
    }),
  ],
});
createParticipant<Transaction<Tables>>('g', {
  runner: { transaction: (fn) => db.transaction().execute(fn) },
  transport,
  handlers: (handle) => [
    handle(Placed, { reply: Shipped }, async (_order, { tx }) => {
      expectTypeOf(tx).toEqualTypeOf<Transaction<Tables>>();
      return {};
    }),
  ],
});
// Where it is not named, tx is not guessed at.
createConsumer('h', {
  runner: { transaction: (fn) => db.transaction().execute(fn) },
  transport,
  handlers: (onTransaction) => [onTransaction(Placed, (_order, { tx }) => expectTypeOf(tx).toBeUnknown())],
});
