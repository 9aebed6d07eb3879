/**
 * What became of the messages: delivered and acted on, in order. Pure.
 */
import { OrderAccepted, OrderConfirmed, OrderRejected } from '../../sagas/messages/order.ts';
import { participantFor, REPLY_TOPIC } from '../messages.ts';
import type { Books, SentMessage } from './books.ts';

const NEWS: ReadonlySet<string> = new Set([OrderAccepted.topic, OrderRejected.topic, OrderConfirmed.topic]);

/**
 * The messages on which nobody has acted who should have.
 * - A command or a compensation is acted on when it is answered: effect and answer were one commit.
 * - An answer is, when it is marked, its run's journal tells what came of the call, and no run message is left. An answer to a command that a
 *   worker was handed for a run in its memory leaves no mark: then the journal has to tell what was answered.
 * - The news of an order is, when it stands in the order service's ledger.
 */
export function undelivered(books: Books): readonly SentMessage[] {
  const answered = new Set(books.sent.map(({ service, causedBy }) => `${service} ${causedBy}`));
  const heard = new Set(books.heard.map(({ messageId }) => messageId));
  const told = toldCalls(books);
  const decided = decidedCalls(books);
  return books.sent.filter(({ id, topic, answer }) => {
    if (NEWS.has(topic)) return !heard.has(id);
    if (topic === REPLY_TOPIC) {
      if (answer === null) return true;
      const ended = books.repliesTaken.has(id) ? told : decided;
      return !ended.has(`${answer.runId} ${answer.call} ${answer.to}`);
    }
    const participant = participantFor(topic);
    return participant === null || !answered.has(`${participant} ${id}`);
  });
}

/** The calls and the compensations whose end stands in the journals. */
function toldCalls({ runs }: Books): ReadonlySet<string> {
  const told = new Set<string>();
  for (const { id, events } of runs) {
    for (const event of events) {
      if (event.t === 'done' || event.t === 'failed' || event.t === 'late reply')
        told.add(`${id} ${event.call} command`);
      if (event.t === 'compensated') told.add(`${id} ${event.call} compensation`);
    }
  }
  return told;
}

/** The calls that ended by what was answered: one that was given up is in doubt. */
function decidedCalls({ runs }: Books): ReadonlySet<string> {
  const decided = new Set<string>();
  for (const { id, events } of runs)
    for (const event of events)
      if (event.t === 'done' || (event.t === 'failed' && event.outcome === 'definite'))
        decided.add(`${id} ${event.call} command`);
  return decided;
}

/** News of an order that was heard before what was sent earlier, or after a gap. */
export function outOfOrder({ sent, heard }: Books): number {
  const sequence = new Map<string, number>();
  const sentOf = new Map<string | null, number>();
  for (const { id, topic, orderId } of sent.toSorted((a, b) => a.seq - b.seq)) {
    if (!NEWS.has(topic)) continue;
    const place = sentOf.get(orderId) ?? 0;
    sequence.set(id, place);
    sentOf.set(orderId, place + 1);
  }
  const places = new Map<string, number>();
  let wrong = 0;
  for (const { messageId, orderId } of heard) {
    const place = places.get(orderId) ?? 0;
    if (sequence.get(messageId) !== place) wrong += 1;
    places.set(orderId, place + 1);
  }
  return wrong;
}
