/**
 * The ledger of the orders: judges those whose runs have ended, and drops what is right, with all that it has left in the four services, so that
 * their tables stay small. What is dropped is added up first.
 *
 * A drop is several transactions: the order moves to `dropping`, with the places of the rows that were judged; these are deleted; then the order is
 * forgotten. One that was broken off is done again. Rows that come later belong to no order, and are found as ghosts.
 */
import type { Effect, Run } from '../../../demo/audit/books.ts';
import { SERVICES } from '../../../demo/services/all.ts';
import type { Database, JournalEvent } from '../../../src/index.ts';
import type { DatabaseName } from '../setting.ts';
import { judgeOrder, type OrderStory } from './orders.ts';
import { MOST_SENTENCES } from './streams.ts';

const PARTICIPANTS = ['payment', 'stock', 'shipping'] as const;
type Participant = (typeof PARTICIPANTS)[number];

export interface OrdersState {
  readonly orders: number;
  readonly completed: number;
  readonly compensated: number;
  /** What the confirmed ones cost, and how many pieces they had. */
  readonly worth: number;
  readonly pieces: number;
  /** Orders with which something is wrong, and effects of orders that there are not. */
  readonly faulty: number;
  readonly wrong: readonly string[];
}

const NO_ORDERS: OrdersState = { orders: 0, completed: 0, compensated: 0, worth: 0, pieces: 0, faulty: 0, wrong: [] };
const WHAT = 'orders';

/** Ended orders that are judged at once. */
const MOST = 300;
/** News may come a little after the end of the run. */
const GRACE = '2 seconds';
/** What is missing for so long after the end of the run will not come. */
const PATIENCE_MS = 300_000;

type Places = Readonly<Record<Participant | 'orders', readonly string[]>>;

interface Judged {
  readonly story: OrderStory;
  readonly places: Places;
  readonly sentences: readonly string[];
}

export interface OrderLedger {
  look(): Promise<OrdersState>;
}

type Databases = Readonly<Record<DatabaseName, Database>>;

export function openOrderLedger(databases: Databases): OrderLedger {
  return {
    async look() {
      await finishDrops(databases);
      const judged = await judgeSome(databases);
      if (judged.length > 0) {
        await beginDrops(databases.orders, judged);
        await finishDrops(databases);
      }
      const ghosts = await dropGhosts(databases);
      return addTo(databases.orders, (state) => ({
        ...state,
        faulty: state.faulty + ghosts.length,
        wrong: [...state.wrong, ...ghosts].slice(0, MOST_SENTENCES),
      }));
    },
  };
}

/** Those that can be dropped: right, or wrong for good. */
async function judgeSome(databases: Databases): Promise<readonly Judged[]> {
  const { rows } = await databases.orders.query<{
    id: string;
    runId: string;
    status: string;
    quantity: number;
    amount: number;
    ended: string | null;
    startedAt: number;
    finishedAt: number;
    agoMs: number;
    journal: readonly (readonly JournalEvent[])[] | null;
  }>(
    `SELECT o.id, o.run_id AS "runId", o.status, o.quantity, o.amount, r.status AS ended,
       extract(epoch FROM r.started_at)::float8 * 1000 AS "startedAt", extract(epoch FROM r.finished_at)::float8 * 1000 AS "finishedAt",
       coalesce(extract(epoch FROM clock_timestamp() - r.finished_at)::float8 * 1000, 0) AS "agoMs",
       (SELECT json_agg(j.events ORDER BY j.n) FROM holdfast.saga_journal j WHERE j.saga_id = r.id) AS journal
     FROM orders o LEFT JOIN holdfast.saga_run r ON r.id = o.run_id
     WHERE r.id IS NULL OR r.finished_at < clock_timestamp() - $1::interval
     ORDER BY r.finished_at NULLS FIRST LIMIT $2`,
    [GRACE, MOST],
  );
  const ids = rows.map(({ id }) => id);
  if (ids.length === 0) return [];
  const effects = (await Promise.all(PARTICIPANTS.map((name) => effectsOf(databases[name], name, ids)))).flat();
  const heard = await databases.orders.query<{ position: string; messageId: string; orderId: string; status: string }>(
    `SELECT position, message_id AS "messageId", order_id AS "orderId", status FROM order_event WHERE order_id = ANY ($1) ORDER BY position`,
    [ids],
  );
  return rows.flatMap(({ ended, startedAt, finishedAt, agoMs, journal, ...order }) => {
    const run: Run = { id: order.runId, status: ended ?? '', startedAt, finishedAt, events: (journal ?? []).flat() };
    const own = effects.filter(({ orderId }) => orderId === order.id);
    const news = heard.rows.filter(({ orderId }) => orderId === order.id);
    const story: OrderStory = { order, run, effects: own, heard: news };
    const places: Places = {
      payment: placesIn(own, 'payment'),
      stock: placesIn(own, 'stock'),
      shipping: placesIn(own, 'shipping'),
      orders: news.map(({ position }) => position),
    };
    if (ended === null) return [{ story, places, sentences: [`${order.id} (${order.status}): its run is not there`] }];
    const { wrong, missing } = judgeOrder(story);
    if (missing.length > 0 && wrong.length === 0 && agoMs < PATIENCE_MS) return [];
    return [{ story, places, sentences: [...wrong, ...missing] }];
  });
}

function placesIn(effects: readonly (Effect & { readonly position: string })[], name: Participant): readonly string[] {
  return effects.filter(({ service }) => service === name).map(({ position }) => position);
}

async function effectsOf(
  database: Database,
  service: Participant,
  ids: readonly string[],
): Promise<readonly (Effect & { readonly position: string })[]> {
  const { rows } = await database.query<Omit<Effect, 'service'> & { readonly position: string }>(
    `SELECT position, message_id AS "messageId", order_id AS "orderId", run_id AS "runId", call, effect
     FROM ${SERVICES[service].ledger} WHERE order_id = ANY ($1) ORDER BY position`,
    [ids],
  );
  return rows.map((row) => ({ ...row, service }));
}

async function beginDrops(orders: Database, judged: readonly Judged[]): Promise<void> {
  await addTo(
    orders,
    (state) => judged.reduce(withJudged, state),
    async (tx) => {
      const ids = judged.map(({ story }) => story.order.id);
      await tx.query(
        `INSERT INTO dropping (order_id, positions) SELECT u.id, u.positions::json FROM unnest($1::text[], $2::text[]) AS u (id, positions)`,
        [ids, judged.map(({ places }) => JSON.stringify(places))],
      );
      await tx.query('DELETE FROM order_event WHERE position = ANY ($1::bigint[])', [
        judged.flatMap(({ places }) => places.orders),
      ]);
      await tx.query('DELETE FROM cancellation WHERE order_id = ANY ($1)', [ids]);
      await tx.query('DELETE FROM orders WHERE id = ANY ($1)', [ids]);
    },
  );
}

function withJudged(state: OrdersState, { story: { order, run }, sentences }: Judged): OrdersState {
  const confirmed = order.status === 'confirmed';
  return {
    orders: state.orders + 1,
    completed: state.completed + (run.status === 'completed' ? 1 : 0),
    compensated: state.compensated + (run.status === 'compensated' ? 1 : 0),
    worth: state.worth + (confirmed ? order.amount : 0),
    pieces: state.pieces + (confirmed ? order.quantity : 0),
    faulty: state.faulty + (sentences.length > 0 ? 1 : 0),
    wrong: [...state.wrong, ...sentences].slice(0, MOST_SENTENCES),
  };
}

async function finishDrops(databases: Databases): Promise<void> {
  const { rows } = await databases.orders.query<{ id: string; positions: Places }>(
    'SELECT order_id AS id, positions FROM dropping',
  );
  if (rows.length === 0) return;
  await Promise.all(
    PARTICIPANTS.map(async (name) => {
      const places = rows.flatMap(({ positions }) => positions[name]);
      await databases[name].query(`DELETE FROM ${SERVICES[name].ledger} WHERE position = ANY ($1::bigint[])`, [places]);
      const ids = rows.map(({ id }) => id);
      await databases[name].query(`DELETE FROM pause WHERE split_part(what, ' ', 2) = ANY ($1)`, [ids]);
    }),
  );
  await databases.orders.query('DELETE FROM dropping WHERE order_id = ANY ($1)', [rows.map(({ id }) => id)]);
}

/** Effects and news of orders that were never committed, or that came after all was over. They are told once. */
async function dropGhosts(databases: Databases): Promise<readonly string[]> {
  const places = [
    ...PARTICIPANTS.map((name) => ({ name, table: SERVICES[name].ledger })),
    { name: 'orders' as const, table: 'order_event' },
  ];
  const found: string[] = [];
  for (const { name, table } of places) {
    const { rows } = await databases[name].query<{ id: string }>(`SELECT DISTINCT order_id AS id FROM ${table}`);
    const ids = rows.map(({ id }) => id);
    // Asked afterwards: an order is there before anything of it, and goes after it was judged.
    const ghosts = await databases.orders.query<{ id: string }>(
      'SELECT id FROM unnest($1::text[]) AS id WHERE id NOT IN (SELECT o.id FROM orders o)',
      [ids],
    );
    for (const { id } of ghosts.rows) {
      await databases[name].query(`DELETE FROM ${table} WHERE order_id = $1`, [id]);
      found.push(`${id}: a row of ${table}, and no such order`);
    }
  }
  return found;
}

/** What is known now, and beside it, in the same transaction, what else is to be done. */
async function addTo(
  orders: Database,
  change: (state: OrdersState) => OrdersState,
  beside: (tx: { query(text: string, values: readonly unknown[]): Promise<unknown> }) => Promise<void> = async () => {},
): Promise<OrdersState> {
  return orders.transaction(async (tx) => {
    const { rows } = await tx.query<{ state: OrdersState }>('SELECT state FROM judged WHERE what = $1', [WHAT]);
    const before = rows[0]?.state ?? NO_ORDERS;
    const after = change(before);
    await beside({ query: (text, values) => tx.query(text, [...values]) });
    if (JSON.stringify(after) !== JSON.stringify(before))
      await tx.query(
        'INSERT INTO judged (what, state) VALUES ($1, $2) ON CONFLICT (what) DO UPDATE SET state = excluded.state',
        [WHAT, JSON.stringify(after)],
      );
    return after;
  });
}
