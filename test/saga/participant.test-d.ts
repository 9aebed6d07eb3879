/**
 * What the compiler infers for those who write participants.
 */
import type { Transaction } from 'kysely';
import type { PoolClient } from 'pg';
import { expectTypeOf } from 'vitest';
import { z } from 'zod';
import type { Runner } from '../../src/postgres/runner.ts';
import { message } from '../../src/message/message-type.ts';
import type { Database } from '../../src/postgres/database.ts';
import { handle } from '../../src/saga/participant/handle.ts';
import { createParticipant } from '../../src/saga/participant/participant.ts';
import type { SagaCall } from '../../src/saga/protocol/wire.ts';
import type { Transport } from '../../src/transport/port.ts';

interface Tables {
  effect: { id: string };
}
const Reserve = message('stock.reserve', { schema: z.object({ sku: z.string(), count: z.number().default(1) }) });
const Release = message('stock.release', { schema: z.object({ sku: z.string() }) });
const Reserved = message('stock.reserved', { schema: z.object({ id: z.string(), n: z.number().default(1) }) });
declare const database: Database;
declare const transport: Transport;
declare const runner: Runner<Transaction<Tables>>;

createParticipant('stock', {
  database,
  transport,
  callRetention: '400d',
  handlers: [
    handle(
      Reserve,
      { reply: Reserved, timeout: '5s' },
      async (command, { tx, message: envelope, signal, attempt, saga, send }) => {
        expectTypeOf(command).toEqualTypeOf<{ sku: string; count: number }>();
        expectTypeOf(tx).toEqualTypeOf<PoolClient>();
        expectTypeOf(envelope.id).toBeString();
        expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
        expectTypeOf(attempt).toBeNumber();
        expectTypeOf(saga).toEqualTypeOf<SagaCall | null>();
        await send(Release, { sku: command.sku });
        // What is returned is the schema's input.
        return { id: 'r' };
      },
    ),
    handle(Release, { compensates: Reserve, reply: Reserved }, async (release, { tx, command, reply }) => {
      expectTypeOf(release).toEqualTypeOf<{ sku: string }>();
      expectTypeOf(tx).toEqualTypeOf<PoolClient>();
      expectTypeOf(command).toEqualTypeOf<{ sku: string; count: number } | null>();
      expectTypeOf(reply).toEqualTypeOf<{ id: string; n: number } | null>();
    }),
  ],
});

// Without a reply type, a compensation knows nothing of what the command was answered with.
handle(Release, { compensates: Reserve }, (_release, { reply }) => expectTypeOf(reply).toEqualTypeOf<unknown>());
handle(Reserve, async ({ sku }) => expectTypeOf(sku).toBeString());
handle(Reserve, { retry: { attempts: 3 } }, async ({ sku }) => expectTypeOf(sku).toBeString());
// @ts-expect-error what is returned does not fit the reply
handle(Reserve, { reply: Reserved }, async () => ({ id: 7 }));
// @ts-expect-error nothing is returned
handle(Reserve, { reply: Reserved }, async () => {});
// @ts-expect-error no such property
handle(Reserve, async ({ sku }) => sku.toFixed());

createParticipant('stock', {
  runner,
  transport,
  handlers: (handleTx) => [
    handleTx(Reserve, { reply: Reserved }, (_command, { tx }) => {
      expectTypeOf(tx).toEqualTypeOf<Transaction<Tables>>();
      return { id: 'r' };
    }),
  ],
});
createParticipant('stock', {
  // @ts-expect-error a handler for PoolClients does not fit a participant on Kysely
  runner,
  transport,
  handlers: [handle(Reserve, (_command, { tx }) => tx.query('SELECT 1'))],
});
