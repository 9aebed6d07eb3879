/**
 * The audit: holds the tables of all four services against each other after the dust has settled, and says what it found.
 */
import type { Books } from './audit/books.ts';
import { outOfOrder, undelivered } from './audit/messages.ts';
import {
  cancellations,
  doubleEffects,
  ghosts,
  missingCompensations,
  wrongEnds,
  wrongOrderCompensations,
} from './audit/runs.ts';

export interface Finding {
  readonly what: string;
  readonly found: string | number;
  readonly note?: string;
  readonly ok: boolean;
}

export interface Section {
  readonly title: string;
  readonly findings: readonly Finding[];
}

/** All that is counted; `--json` prints it under these names. */
export interface Figures {
  readonly orders: number;
  /** Messages in the outboxes. */
  readonly committed: number;
  /** Of these, the ones on which those who must have acted. */
  readonly delivered: number;
  readonly lost: number;
  /** News that came before earlier news of the same order, or after a gap. */
  readonly outOfOrder: number;
  /** Sagas started: one for each order. */
  readonly runs: number;
  readonly completed: number;
  readonly compensated: number;
  readonly stuck: number;
  /** Neither completed, nor compensated, nor stuck. */
  readonly unfinished: number;
  readonly doubleEffects: number;
  readonly missingCompensations: number;
  readonly wrongOrderCompensations: number;
  /** Orders that are not in the state that their run says. */
  readonly wrongEnds: number;
  readonly moneyConserved: boolean;
  readonly stockConserved: boolean;
  readonly cancellations: number;
  readonly cancellationsRefused: number;
  readonly cancellationsLost: number;
  /** Runs, messages and effects of orders that were never committed. */
  readonly ghosts: number;
  /** Messages given up on, and run messages that no run has taken in. */
  readonly parked: number;
}

export interface Audit extends Figures {
  readonly sections: readonly Section[];
  readonly ok: boolean;
}

export function audit(books: Books, ordered: number): Audit {
  const { orders, runs, sent, money, goods } = books;
  const count = (status: string): number => runs.filter((run) => run.status === status).length;
  const confirmed = orders.filter(({ status }) => status === 'confirmed');
  const worth = sum(confirmed.map(({ amount }) => amount));
  const pieces = sum(confirmed.map(({ quantity }) => quantity));
  const cancels = cancellations(books);
  const lost = undelivered(books).length;
  const [completed, compensated, stuck] = [count('completed'), count('compensated'), count('stuck')];
  const figures: Figures = {
    orders: orders.length,
    committed: sent.length,
    delivered: sent.length - lost,
    lost,
    outOfOrder: outOfOrder(books),
    runs: runs.length,
    completed,
    compensated,
    stuck,
    unfinished: runs.length - completed - compensated - stuck,
    doubleEffects: doubleEffects(books),
    missingCompensations: missingCompensations(books),
    wrongOrderCompensations: wrongOrderCompensations(books),
    wrongEnds: wrongEnds(books),
    // Nothing made, nothing lost; and the merchant has what the confirmed orders cost, by his balance and by his books.
    moneyConserved: money.now === money.initial && money.merchant === worth && money.booked === worth,
    stockConserved: goods.initial - goods.now === pieces && goods.booked === pieces && goods.shipped === pieces,
    cancellations: cancels.asked,
    cancellationsRefused: cancels.refused,
    cancellationsLost: cancels.lost,
    ghosts: ghosts(books),
    parked: books.parked + books.runMessages,
  };
  const sections = [
    { title: 'Messages', findings: messageFindings(figures) },
    { title: 'Sagas', findings: sagaFindings(figures, ordered, reasons(books)) },
    {
      title: 'Sums',
      findings: [
        {
          what: 'money',
          ...kept(figures.moneyConserved),
          note: `${cents(worth)} paid for, ${cents(money.now)} in all`,
        },
        { what: 'stock', ...kept(figures.stockConserved), note: `${pieces} pieces shipped, ${goods.now} left` },
      ],
    },
  ];
  return { ...figures, sections, ok: sections.every(({ findings }) => findings.every(({ ok }) => ok)) };
}

function messageFindings({ committed, delivered, lost, outOfOrder: wrong, ...rest }: Figures): readonly Finding[] {
  return [
    { what: 'committed', found: committed, ok: committed > 0 },
    { what: 'delivered', found: delivered, note: 'and acted on', ok: delivered === committed },
    none('lost', lost),
    none('out of order', wrong),
    none('parked or unread', rest.parked),
    none('of rolled-back orders', rest.ghosts),
  ];
}

function sagaFindings(figures: Figures, ordered: number, why: string): readonly Finding[] {
  const { orders, runs, completed, compensated, stuck, unfinished } = figures;
  const asked = `of ${figures.cancellations} cancellations, ${figures.cancellationsRefused} refused: too late`;
  return [
    { what: 'started', found: runs, note: 'one for each order', ok: runs === ordered && orders === ordered },
    { what: 'completed', found: completed, note: 'charged, reserved, shipped', ok: true },
    { what: 'compensated', found: compensated, note: why, ok: runs === completed + compensated },
    none('stuck', stuck),
    none('left in the middle', unfinished),
    none('orders that say otherwise', figures.wrongEnds),
    none('effects done twice', figures.doubleEffects),
    none('compensations missing', figures.missingCompensations),
    none('compensations out of order', figures.wrongOrderCompensations),
    { ...none('cancellations lost', figures.cancellationsLost), note: asked },
  ];
}

/** What the compensated runs were compensated for. */
function reasons({ runs }: Books): string {
  const counts = new Map<string, number>();
  for (const { status, events } of runs) {
    if (status !== 'compensated') continue;
    const compensating = events.find((event) => event.t === 'undoing');
    const error = compensating?.error;
    const reason =
      compensating?.reason === 'failed'
        ? error?.code === 'HF_REJECTED'
          ? error.message
          : 'no answer'
        : compensating?.reason;
    counts.set(reason ?? 'unknown', (counts.get(reason ?? 'unknown') ?? 0) + 1);
  }
  const parts = [...counts].toSorted(([, a], [, b]) => b - a);
  return parts.map(([reason, count]) => `${reason} ${count}`).join(', ');
}

function none(what: string, found: number): Finding {
  return { what, found, ok: found === 0 };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function kept(ok: boolean): { readonly found: string; readonly ok: boolean } {
  return { found: ok ? 'conserved' : 'NOT CONSERVED', ok };
}

function cents(amount: number): string {
  return (amount / 100).toLocaleString('en', { minimumFractionDigits: 2 });
}
