/**
 * One order whose run has ended: what must be there is, and nothing twice or in the wrong order. By the rules of the demo's audit. Pure.
 */
import type { Books, Effect, Run } from '../../../demo/audit/books.ts';
import { doubleEffects, missingCompensations, wrongEnds, wrongOrderCompensations } from '../../../demo/audit/runs.ts';

export interface OrderStory {
  readonly order: Books['orders'][number];
  readonly run: Run;
  readonly effects: readonly Effect[];
  /** As the order service heard it. */
  readonly heard: Books['heard'];
}

export interface OrderVerdict {
  /** What nothing that comes can make right. */
  readonly wrong: readonly string[];
  /** What may still come. */
  readonly missing: readonly string[];
}

export function judgeOrder(story: OrderStory): OrderVerdict {
  const { order, run, heard } = story;
  const books = booksOf(story);
  const wrong: string[] = [];
  const missing: string[] = [];
  const name = `${order.id} (${run.status})`;
  if (doubleEffects(books) > 0) wrong.push(`${name}: an effect is there twice`);
  if (wrongOrderCompensations(books) > 0) wrong.push(`${name}: compensated in another order than backwards`);
  if (missingCompensations(books) > 0) missing.push(`${name}: its effects are ${effectsOf(story)}`);
  if (wrongEnds(books) > 0) missing.push(`${name}: the order says ${order.status}`);
  const told = heard.map(({ status }) => status).join(', ');
  const expected = newsOf(run);
  if (!expected.includes(told)) {
    const canBecome = expected.some((news) => news.startsWith(told));
    (canBecome ? missing : wrong).push(`${name}: what was heard of it is ${told === '' ? 'nothing' : told}`);
  }
  return { wrong, missing };
}

/** What can be heard of it in the end. A run that was cancelled before it began has said nothing. */
function newsOf({ status, events }: Run): readonly string[] {
  if (status === 'completed') return ['accepted, confirmed'];
  const begun = events.some((event) => event.t === 'called');
  return begun ? ['accepted, rejected'] : [''];
}

function effectsOf({ effects }: OrderStory): string {
  return effects.length === 0 ? 'none' : effects.map(({ call, effect }) => `${effect} of ${call}`).join(', ');
}

/** As if this order were all that there is. */
function booksOf({ order, run, effects, heard }: OrderStory): Books {
  return {
    orders: [order],
    heard,
    cancellations: [],
    sent: [],
    effects,
    runs: [run],
    repliesTaken: new Set(),
    runMessages: 0,
    parked: 0,
    money: { initial: 0, now: 0, merchant: 0, booked: 0 },
    goods: { initial: 0, now: 0, booked: 0, shipped: 0 },
  };
}
