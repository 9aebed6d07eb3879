/**
 * All that the audit reads: the tables of the four services, the journal of the runs among them. It believes no counter: what was sent
 * stands in the outboxes, and what came of it in the ledgers of those who had to act on it, in their answers, and in the journal.
 */
import type { Database, JournalEvent } from '../../src/index.ts';
import { SERVICES } from '../services/all.ts';
import { SERVICE_NAMES, type ServiceName } from '../world.ts';

export type Databases = Readonly<Record<ServiceName, Database>>;

export interface SentMessage {
  readonly service: ServiceName;
  readonly id: string;
  readonly seq: number;
  readonly topic: string;
  /** Of all but replies. */
  readonly orderId: string | null;
  /** The message that it answers, if any. */
  readonly causedBy: string | null;
  /** Of replies. */
  readonly answer: { readonly runId: string; readonly call: string; readonly to: 'command' | 'compensation' } | null;
}

/** A row of a participant's ledger. */
export interface Effect {
  readonly service: ServiceName;
  readonly messageId: string;
  readonly orderId: string;
  readonly runId: string;
  readonly call: string;
  readonly effect: string;
}

export interface Run {
  readonly id: string;
  readonly status: string;
  readonly startedAt: number;
  /** Milliseconds since the epoch. */
  readonly finishedAt: number | null;
  /** In the order in which they were recorded. */
  readonly events: readonly JournalEvent[];
}

export interface Books {
  readonly orders: readonly {
    readonly id: string;
    readonly runId: string;
    readonly status: string;
    readonly quantity: number;
    readonly amount: number;
  }[];
  /** What the order service heard, as it heard it. */
  readonly heard: readonly { readonly messageId: string; readonly orderId: string; readonly status: string }[];
  readonly cancellations: readonly { readonly orderId: string; readonly answer: string; readonly askedAt: number }[];
  readonly sent: readonly SentMessage[];
  readonly effects: readonly Effect[];
  readonly runs: readonly Run[];
  /** Ids of replies that are marked as stored for their runs; the mark and the message for the run were one commit. */
  readonly repliesTaken: ReadonlySet<string>;
  /** Run messages that no worker has taken in. */
  readonly runMessages: number;
  readonly parked: number;
  readonly money: {
    readonly initial: number;
    readonly now: number;
    readonly merchant: number;
    readonly booked: number;
  };
  readonly goods: { readonly initial: number; readonly now: number; readonly booked: number; readonly shipped: number };
}

export async function readBooks(databases: Databases): Promise<Books> {
  const read = <Row extends object>(name: ServiceName, sql: string): Promise<Row[]> =>
    databases[name].query<Row & Record<string, unknown>>(sql).then(({ rows }) => rows);
  const one = async <Row extends object>(name: ServiceName, sql: string): Promise<Row> => {
    const [row] = await read<Row>(name, sql);
    if (row === undefined) throw new Error(`No row: ${sql}`);
    return row;
  };

  const sent: SentMessage[] = [];
  const effects: Effect[] = [];
  let parked = 0;
  for (const service of SERVICE_NAMES) {
    const messages = await read<Omit<SentMessage, 'service' | 'answer'> & { readonly answer: SentMessage['answer'] }>(
      service,
      `SELECT id, seq::float8 AS seq, topic, payload ->> 'orderId' AS "orderId", headers ->> 'causationid' AS "causedBy",
         CASE WHEN payload ? 'runId' THEN payload END AS answer FROM holdfast.outbox`,
    );
    for (const message of messages) sent.push({ ...message, service });
    const counted = await one<{ parked: number }>(
      service,
      `SELECT ((SELECT count(*) FROM holdfast.parked_message) + (SELECT count(*) FROM holdfast.parked_delivery))::integer AS parked`,
    );
    parked += counted.parked;
    if (service === 'orders') continue;
    const rows = await read<Omit<Effect, 'service'>>(
      service,
      `SELECT message_id AS "messageId", order_id AS "orderId", run_id AS "runId", call, effect
       FROM ${SERVICES[service].ledger} ORDER BY position`,
    );
    for (const row of rows) effects.push({ ...row, service });
  }
  const taken = await read<{ id: string }>(
    'orders',
    `SELECT message_id AS id FROM holdfast.inbox WHERE consumer = 'saga-replies'`,
  );
  return {
    orders: await read('orders', `SELECT id, run_id AS "runId", status, quantity, amount FROM orders ORDER BY id`),
    heard: await read(
      'orders',
      `SELECT message_id AS "messageId", order_id AS "orderId", status FROM order_event ORDER BY position`,
    ),
    cancellations: await read(
      'orders',
      `SELECT order_id AS "orderId", answer, extract(epoch FROM asked_at)::float8 * 1000 AS "askedAt" FROM cancellation`,
    ),
    sent,
    effects,
    runs: await readRuns(databases),
    repliesTaken: new Set(taken.map(({ id }) => id)),
    runMessages: (
      await one<{ runMessages: number }>('orders', 'SELECT count(*)::integer AS "runMessages" FROM holdfast.saga_mail')
    ).runMessages,
    parked,
    money: await one(
      'payment',
      `SELECT (SELECT sum(initial) FROM account)::float8 AS initial, (SELECT sum(balance) FROM account)::float8 AS now,
         (SELECT sum(balance) FROM account WHERE name LIKE 'till-%')::float8 AS merchant,
         (SELECT coalesce(sum(CASE effect WHEN 'charge' THEN amount ELSE -amount END), 0) FROM payment)::float8 AS booked`,
    ),
    goods: {
      ...(await one<{ initial: number; now: number; booked: number }>(
        'stock',
        `SELECT (SELECT sum(initial) FROM product)::float8 AS initial, (SELECT sum(available) FROM product)::float8 AS now,
           (SELECT coalesce(sum(CASE effect WHEN 'reserve' THEN quantity ELSE -quantity END), 0) FROM movement)::float8 AS booked`,
      )),
      ...(await one<{ shipped: number }>(
        'shipping',
        'SELECT coalesce(sum(quantity), 0)::float8 AS shipped FROM dispatch',
      )),
    },
  };
}

async function readRuns({ orders }: Databases): Promise<readonly Run[]> {
  const { rows } = await orders.query<{
    id: string;
    status: string;
    startedAt: number;
    finishedAt: number | null;
    rows: (readonly JournalEvent[])[] | null;
  }>(
    `SELECT id, status, extract(epoch FROM started_at)::float8 * 1000 AS "startedAt",
       extract(epoch FROM finished_at)::float8 * 1000 AS "finishedAt",
       (SELECT json_agg(j.events ORDER BY j.n) FROM holdfast.saga_journal j WHERE j.saga_id = r.id) AS rows
     FROM holdfast.saga_run r ORDER BY started_at, id`,
  );
  return rows.map(({ rows: journal, ...run }) => ({ ...run, events: (journal ?? []).flat() }));
}
