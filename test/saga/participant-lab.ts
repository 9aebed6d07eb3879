/**
 * What the tests of participants share: a stock service, commands made by hand as a saga sends them, and a look at what came of them.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import type { Database } from '../../src/postgres/database.ts';
import { handle, type ParticipantHandler } from '../../src/saga/participant/handle.ts';
import { createParticipant, type Participant } from '../../src/saga/participant/participant.ts';
import type { DatabaseParticipantOptions } from '../../src/saga/participant/participant-options.ts';
import { sagaReply, writeSagaCall, type CallRole, type SagaReply } from '../../src/saga/protocol/wire.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import type { Delivery } from '../../src/transport/port.ts';
import { delivery, openLab, type Lab } from '../inbox/lab.ts';
import type { PoolClient } from 'pg';

export const Reserve = message('stock.reserve', { schema: z.object({ sku: z.string(), count: z.number() }) });
export const Release = message('stock.release', { schema: z.object({ sku: z.string(), count: z.number() }) });
export const Reserved = message('stock.reserved', { schema: z.object({ reservation: z.string() }), version: 1 });

export interface CommandOptions {
  readonly id?: string;
  readonly runId?: string;
  readonly call?: string;
  readonly role?: CallRole;
  readonly outcome?: 'done' | 'unknown';
  readonly type?: string;
  readonly data?: unknown;
  readonly version?: number;
  /** Instead of those of a saga. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A delivery of a command or a compensation, of `stock.reserve` or `stock.release` unless told otherwise. */
export function sent(options: CommandOptions = {}, rest: Partial<Omit<Delivery, 'wire'>> = {}): Delivery {
  const { id = randomUUID(), runId = RUN, call = 'reserve', role = 'command', outcome = 'unknown' } = options;
  const text = JSON.stringify({
    specversion: '1.0',
    holdfast: 1,
    schemaversion: options.version ?? 1,
    source: 'test',
    id,
    type: options.type ?? (role === 'command' ? Reserve.topic : Release.topic),
    time: new Date().toISOString(),
    correlationid: runId,
    datacontenttype: 'application/json',
    headers:
      options.headers ??
      writeSagaCall({ runId, call, role, replyTo: 'saga.reply', outcome: role === 'command' ? null : outcome }),
    data: options.data ?? { sku: 'book', count: 2 },
  });
  return delivery(text, rest);
}

export const RUN = '0197a3c2-5b1e-7cc3-98c4-dc0c0c07398f';
export const reservation = { reservation: 'r-2' };

export interface StockLab extends Lab {
  participant(options?: Partial<DatabaseParticipantOptions>): Participant;
  /** The answers that are on their way, oldest first. */
  replies(): Promise<readonly SagaReply[]>;
  calls(): Promise<readonly { readonly call: string; readonly state: string; readonly reply: unknown }[]>;
  notes(): Promise<readonly string[]>;
  clean(): Promise<void>;
}

/** Writes a row for each run, so that effects can be counted. */
export const note = (tx: PoolClient, text: string): Promise<unknown> =>
  tx.query('INSERT INTO effect (id, note) VALUES (gen_random_uuid(), $1)', [text]);

export const stockHandlers: readonly ParticipantHandler<PoolClient>[] = [
  handle(Reserve, { reply: Reserved }, async ({ sku, count }, { tx }) => {
    await note(tx, `reserve ${sku}`);
    return { reservation: `r-${count}` };
  }),
  handle(Release, { compensates: Reserve, reply: Reserved }, async ({ sku }, { tx, command, reply }) => {
    await note(tx, `release ${sku} ${command?.count ?? '?'} ${reply?.reservation ?? '?'}`);
  }),
];

export async function openStockLab(): Promise<StockLab> {
  const lab = await openLab();
  const { pool } = lab.test;
  return {
    ...lab,
    participant: (options = {}) => stock(lab.database, options),
    async replies() {
      const { rows } = await pool.query<{ payload: SagaReply }>(
        'SELECT payload FROM holdfast.outbox WHERE topic = $1 ORDER BY seq',
        [sagaReply().topic],
      );
      return rows.map(({ payload }) => payload);
    },
    async calls() {
      const { rows } = await pool.query<{ call: string; state: string; reply: unknown }>(
        'SELECT call, state, reply FROM holdfast.participant_call ORDER BY at',
      );
      return rows;
    },
    notes: async () => (await lab.effects()).map((effect) => effect.note),
    async clean() {
      await pool.query(
        `TRUNCATE effect, holdfast.inbox, holdfast.parked_delivery, holdfast.delivery_attempt, holdfast.outbox,
           holdfast.participant_call, holdfast.saga_mail, holdfast.saga_run`,
      );
    },
  };
}

function stock(database: Database, options: Partial<DatabaseParticipantOptions>): Participant {
  return createParticipant('stock', {
    database,
    transport: createMemoryTransport(),
    handlers: stockHandlers,
    random: () => 0,
    redeliveryHorizon: '1d',
    ...options,
  });
}
