/**
 * One message's whole way: the transaction that wrote it, the subscriptions that read it, the inboxes it came to, the run that waited for
 * it, and what it led to. Everything is found along indexes, in reads with a limit of time.
 */
import { HoldfastError } from '../../errors.ts';
import type { Database } from '../../postgres/database.ts';
import { boundedRead, type BoundedRead } from '../reads/bounded.ts';
import { assertMessageId, subscriptionPassages } from '../reads/messages.ts';
import { readLed } from './path-led.ts';
import { readCauses, readOrigin, readTogether, type OriginRow } from './path-message.ts';
import type { MessagePath } from './path-model.ts';
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
    const origin = await readOrigin(read, lowerId);
    if (origin === null) throw tooSlow();
    const { message } = origin;
    const relays = await readRelays(read, { id: lowerId, message }, passages);
    const consumers = await readConsumers(read, lowerId);
    const isLost = message === null && origin.scheduled === null;
    if (isLost && relays.length + consumers.length === 0) throw noSuchMessage(lowerId);
    const facts = {
      id: lowerId,
      state: message !== null ? ('logged' as const) : isLost ? ('pruned' as const) : ('scheduled' as const),
      scheduled: origin.scheduled,
      message,
      relays,
      consumers,
      now: origin.now,
      ...(await surroundings(read, origin)),
    };
    return { ...facts, steps: storyOf(facts) };
  });
}

type Surroundings = Pick<
  MessagePath,
  'causes' | 'together' | 'sender' | 'answer' | 'participants' | 'led' | 'ledComplete'
>;

async function surroundings(read: BoundedRead, { message, reply }: OriginRow): Promise<Surroundings> {
  if (message === null) {
    const together = { messages: [], runs: [] };
    return { causes: [], together, sender: null, answer: null, participants: [], led: [], ledComplete: true };
  }
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

function noSuchMessage(id: string): HoldfastError {
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
