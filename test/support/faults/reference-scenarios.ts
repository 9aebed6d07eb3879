/**
 * The reference sagas as they are put to the test of crashes: what each is started with, what happens to it from outside, and what must
 * be left in the books of those around it. One way to its end forward, and one or two through its compensations, for each of the four.
 */
import type pg from 'pg';
import type { TransactionHandle } from '../../../src/postgres/executor.ts';
import type { Sagas } from '../../../src/saga/client/client.ts';
import type { AnySaga } from '../../../src/saga/definition/definition.ts';
import { approveExpense } from '../../../sagas/approve-expense.ts';
import { bookTrip } from '../../../sagas/book-trip.ts';
import { placeOrder } from '../../../sagas/place-order.ts';
import { transferMoney } from '../../../sagas/transfer-money.ts';
import { FULL, SILENT, standing, type OutsideNote, type ReferenceOutside } from './reference-outside.ts';
import { NOBODY, UNSHIPPABLE, withEffectsNoted } from './reference-services.ts';

/** Something that somebody outside does to the run, so long after its start; in the transaction that notes that it is done. */
export interface Visit {
  readonly afterMs: number;
  readonly act: (sagas: Sagas, runId: string, tx: TransactionHandle) => Promise<void>;
}

/** What is left of one run outside of its journal. */
export interface Books {
  readonly holding: Readonly<Record<string, number>>;
  readonly account: number | null;
  readonly transfer: string | null;
  readonly expense: string | null;
  readonly payouts: number;
  readonly notes: readonly OutsideNote[];
  /** Topics of the messages that the run has sent. */
  readonly topics: readonly string[];
}

export interface Scenario {
  readonly name: string;
  readonly saga: AnySaga;
  readonly ends: 'completed' | 'compensated';
  /** Of the run number n, after `of(n)` was opened in the books. */
  readonly start: (sagas: Sagas, of: string) => Promise<{ readonly id: string }>;
  readonly visits: readonly Visit[];
  /** What is wrong with the books at the end, in words. */
  readonly audit: (books: Books, result: unknown) => readonly string[];
}

/** What everybody has when a run begins. */
export async function openBooks(pool: pg.Pool, of: string): Promise<void> {
  await pool.query(
    `INSERT INTO holding SELECT $1, who, amount
     FROM (VALUES ('ada', 10000), ('shop', 0), ('shelf', 5), ('kept', 0), ('sent', 0), ('theirs', 0)) AS h (who, amount)`,
    [of],
  );
  await pool.query('INSERT INTO account VALUES ($1, 100)', [of]);
}

export async function readBooks(
  pool: pg.Pool,
  of: string,
  runId: string,
  notes: readonly OutsideNote[],
): Promise<Books> {
  const { rows } = await pool.query<Omit<Books, 'notes'>>(
    `SELECT (SELECT json_object_agg(who, amount) FROM holding WHERE of = $1) AS holding,
       (SELECT balance::int FROM account WHERE id = $1) AS account,
       (SELECT state FROM transfer WHERE id = $1) AS transfer,
       (SELECT state FROM expense WHERE id = $1) AS expense,
       (SELECT count(*)::int FROM payout WHERE expense = $1) AS payouts,
       (SELECT coalesce(json_agg(topic ORDER BY seq), '[]') FROM holdfast.outbox
         WHERE headers ->> 'correlationid' = $2 AND topic LIKE 'order.%') AS topics`,
    [of, runId],
  );
  const [books] = rows;
  if (books === undefined) throw new Error(`There are no books of ${of}.`);
  return { ...books, notes };
}

const DAY_MS = 86_400_000;
const AMOUNT = 4_200;
const QUANTITY = 2;

/** What is not as it should be, in words. */
function compare(what: Readonly<Record<string, readonly [unknown, unknown]>>): readonly string[] {
  return Object.entries(what).flatMap(([name, [is, should]]) =>
    JSON.stringify(is) === JSON.stringify(should)
      ? []
      : [`${name}: ${JSON.stringify(is)}, and should be ${JSON.stringify(should)}`],
  );
}

export function referenceScenarios({ agencies, mailer }: ReferenceOutside): readonly Scenario[] {
  const trip = withEffectsNoted(bookTrip(agencies));
  const expense = withEffectsNoted(approveExpense(mailer));
  const order = withEffectsNoted(placeOrder);
  const transfer = withEffectsNoted(transferMoney);

  const placed = (sku: string): Pick<Scenario, 'saga' | 'start' | 'visits' | 'audit'> => ({
    saga: order,
    start: (sagas, of) =>
      sagas.start(order, { orderId: of, customer: 'ada', amount: AMOUNT, sku, quantity: QUANTITY }, { key: of }),
    visits: [],
    audit({ holding, topics }) {
      const [paid, sent] = sku === UNSHIPPABLE ? [0, 0] : [AMOUNT, QUANTITY];
      // The one news of the end comes once: it is written with the commit that knows it.
      const news = topics.filter((topic) => topic !== 'order.ship');
      const should = { ada: 10_000 - paid, shop: paid, shelf: 5 - sent, kept: 0, sent, theirs: 0 };
      return compare({
        'money and goods': [Object.entries(should).map(([who]) => holding[who]), Object.values(should)],
        news: [news, ['order.accepted', sku === UNSHIPPABLE ? 'order.rejected' : 'order.confirmed']],
      });
    },
  });

  const travelled = (to: string): Pick<Scenario, 'saga' | 'start' | 'visits' | 'audit'> => ({
    saga: trip,
    start: (sagas, of) =>
      sagas.start(trip, { tripId: of, from: 'Bern', to, day: '2026-05-04', nights: 3 }, { key: of }),
    visits: [],
    audit({ notes }, result) {
      const left = [...standing(notes)].map((place) => place.split(' ')[0] ?? '').toSorted();
      if (to.includes(FULL)) return compare({ bookings: [left, []] });
      // Two lost attempts are all that a car gets; then there is a train.
      const { kind } = (result as { readonly onward: { readonly kind: string } }).onward;
      return compare({ bookings: [left, kind === 'car' ? ['car', 'flight', 'hotel'] : ['flight', 'hotel']] });
    },
  });

  const moved = (to: string): Pick<Scenario, 'saga' | 'start' | 'visits' | 'audit'> => ({
    saga: transfer,
    start: (sagas, of) => sagas.start(transfer, { transferId: of, from: of, to, amount: 30 }, { key: of }),
    visits: [],
    audit({ account, holding, transfer: state }) {
      const arrives = to !== NOBODY;
      return compare({
        'our account, the other bank': [[account, holding['theirs']], arrives ? [70, 30] : [100, 0]],
        'the transfer': [state, arrives ? 'done' : 'returned'],
      });
    },
  });

  const claimed = (visits: readonly Visit[]): Pick<Scenario, 'saga' | 'start' | 'visits' | 'audit'> => ({
    saga: expense,
    start: (sagas, of) => sagas.start(expense, { id: of, employee: 'ada', approver: 'eva', amount: 90 }, { key: of }),
    visits,
    audit({ expense: state, payouts, notes }) {
      const runMessages = [...standing(notes)].length;
      // The request and a reminder before the answer, and the news of it; or the request and all five reminders.
      return visits.length > 0
        ? compare({
            'the expense': [
              [state, payouts],
              ['paid', 1],
            ],
            runMessages: [runMessages, 3],
          })
        : compare({
            'the expense': [
              [state, payouts],
              ['lapsed', 0],
            ],
            runMessages: [runMessages, 6],
          });
    },
  });
  const yes: Visit = {
    afterMs: 4 * DAY_MS,
    act: (sagas, id, tx) => sagas.handle(expense, id).signal('decision', { approved: true, by: 'eva' }, { tx }),
  };

  return [
    { name: 'an order is placed', ends: 'completed', ...placed('chair') },
    { name: 'an order that cannot be shipped is compensated', ends: 'compensated', ...placed(UNSHIPPABLE) },
    { name: 'a trip is booked', ends: 'completed', ...travelled('Oslo') },
    { name: 'a trip without a hotel is compensated', ends: 'compensated', ...travelled(`${FULL}erton`) },
    {
      name: 'a trip whose flight is in doubt is compensated',
      ends: 'compensated',
      ...travelled(`${SILENT} ${FULL}erton`),
    },
    { name: 'a transfer arrives', ends: 'completed', ...moved('bob') },
    { name: 'a transfer to nobody comes back', ends: 'compensated', ...moved(NOBODY) },
    { name: 'an expense is paid', ends: 'completed', ...claimed([yes]) },
    { name: 'an expense without an answer lapses', ends: 'compensated', ...claimed([]) },
  ];
}
