/**
 * One message's whole way: the transaction that wrote it, the subscriptions that read it, the inboxes it came to, the run that waited for
 * it, and what it led to. Everything is found along indexes, in reads with a limit of time.
 */
import { HoldfastError } from '../../errors.ts';
import type { Database } from '../../postgres/database.ts';
import { boundedRead, type BoundedRead } from '../reads/bounded.ts';
import { assertMessageId, subscriptionPassages, type SubscriptionPassage } from '../reads/messages.ts';
import { readLed } from './path-led.ts';
import { readCauses, readOrigin, readTogether, type OriginRow } from './path-message.ts';
import type { ConsumerVisit, MessagePath, RelayVisit } from './path-model.ts';
import { readAnswer, readSender } from './path-saga.ts';
import { storyOf } from './path-story.ts';
import { readConsumers, readParticipants, readRelays } from './path-visits.ts';

/**
 * Rejects with HF_NOT_FOUND for what is neither in the log nor scheduled and has left no trace, HF_CONFIG for what is no id, HF_READ_TIMEOUT.
 */
export async function messagePath(database: Database, id: string): Promise<MessagePath> {
  assertMessageId(id);
  const lowerId = id.toLowerCase();
  const passages = await subscriptionPassages(database, lowerId);
  return boundedRead(database, async (read) => {
    const traces = await readTraces(read, lowerId, passages);
    const { origin, relays, consumers } = traces;
    if (isNowhere(traces)) throw noSuchMessage(lowerId);
    const facts = { ...originFacts(lowerId, origin), relays, consumers, ...(await surroundings(read, origin)) };
    return { ...facts, steps: storyOf(facts) };
  });
}

/** What one database knows of a message by its id alone. */
export interface MessageTraces {
  readonly origin: OriginRow;
  readonly relays: readonly RelayVisit[];
  readonly consumers: readonly ConsumerVisit[];
}

/** Rejects with HF_READ_TIMEOUT. */
export async function readTraces(
  read: BoundedRead,
  id: string,
  passages: readonly SubscriptionPassage[],
): Promise<MessageTraces> {
  const origin = await readOrigin(read, id);
  if (origin === null) throw tooSlow();
  const relays = await readRelays(read, { id, message: origin.message }, passages);
  return { origin, relays, consumers: await readConsumers(read, id) };
}

/** Pure. */
export function isNowhere({ origin, relays, consumers }: MessageTraces): boolean {
  return origin.message === null && origin.scheduled === null && relays.length + consumers.length === 0;
}

/** Pure. */
export function originFacts(
  id: string,
  { message, scheduled, now }: OriginRow,
): Pick<MessagePath, 'id' | 'state' | 'message' | 'scheduled' | 'now'> {
  const state = message !== null ? 'logged' : scheduled !== null ? 'scheduled' : 'pruned';
  return { id, state, message, scheduled, now };
}

/** What is told about a message beside its traces. */
export type Surroundings = Pick<
  MessagePath,
  'causes' | 'together' | 'sender' | 'answer' | 'participants' | 'led' | 'ledComplete'
>;

/** Of a message that is not in the log. */
export const NO_SURROUNDINGS: Surroundings = {
  causes: [],
  together: { messages: [], runs: [] },
  sender: null,
  answer: null,
  participants: [],
  led: [],
  ledComplete: true,
};

async function surroundings(read: BoundedRead, { message, reply }: OriginRow): Promise<Surroundings> {
  if (message === null) return NO_SURROUNDINGS;
  const led = await readLed(read, message);
  const answer = await readAnswer(read, message, reply);
  return {
    causes: await readCauses(read, message.id),
    together: await readTogether(read, message),
    // A reply bears the id of the run as its correlation, and was sent by a participant.
    sender: answer === null ? await readSender(read, message) : null,
    answer,
    participants: await readParticipants(read, message),
    led: led.messages,
    ledComplete: led.complete,
  };
}

export function noSuchMessage(id: string): HoldfastError {
  return new HoldfastError('HF_NOT_FOUND', `There is no message ${id}.`, {
    advice:
      'Retention may have pruned it, or its transaction was rolled back. `holdfast find` looks for ids that begin alike, for runs and for keys.',
    details: { id },
  });
}

function tooSlow(): HoldfastError {
  return new HoldfastError('HF_READ_TIMEOUT', 'The database did not read one message in time.', {
    advice: 'Look at its load (`holdfast doctor`), and ask again.',
  });
}
