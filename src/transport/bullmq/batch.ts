/**
 * How a batch is sent: which message goes to which queue, how large a chunk is, and what is refused before anything is sent. Pure.
 */
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import { partitionOf } from '../partitions.ts';
import type { OutboundMessage, PublishOutcome } from '../port.ts';
import type { BullmqSettings } from './options.ts';

/** Jobs in one addJobs call; measured on a local Redis, 100 to 500 are alike and more only holds the event loop longer. */
export const CHUNK_MESSAGES = 250;
/** A chunk ends early at this many characters, so that large messages do not pile up in one command. */
const CHUNK_CHARACTERS = 4 * 1024 * 1024;

/** A message of a batch that is to be sent. */
export interface PlacedMessage {
  readonly message: OutboundMessage;
  /** Place in the batch. */
  readonly index: number;
}

/**
 * The messages of a batch by the name of their queue, each queue in the order of the batch.
 * @param outcomes of the batch: gets what is refused
 */
export function placeBatch(
  batch: readonly OutboundMessage[],
  settings: BullmqSettings,
  outcomes: PublishOutcome[],
): ReadonlyMap<string, readonly PlacedMessage[]> {
  const queues = new Map<string, PlacedMessage[]>();
  for (const [index, message] of batch.entries()) {
    const fault = faultOf(message, settings);
    if (fault !== undefined) {
      outcomes[index] = refused(fault, true);
      continue;
    }
    const partition = partitionOf(message, settings.partitionsOf(message.destination));
    const name = settings.naming.queueName(message.destination, partition);
    const placed = queues.get(name);
    if (placed === undefined) queues.set(name, [{ message, index }]);
    else placed.push({ message, index });
  }
  return queues;
}

export function* chunksOf(messages: readonly PlacedMessage[]): Generator<readonly PlacedMessage[]> {
  let chunk: PlacedMessage[] = [];
  let characters = 0;
  for (const placed of messages) {
    if (
      chunk.length > 0 &&
      (chunk.length === CHUNK_MESSAGES || characters + placed.message.wire.length > CHUNK_CHARACTERS)
    ) {
      yield chunk;
      chunk = [];
      characters = 0;
    }
    chunk.push(placed);
    characters += placed.message.wire.length;
  }
  if (chunk.length > 0) yield chunk;
}

export function refused(error: Error, permanent: boolean): PublishOutcome {
  const wrapped = isHoldfastError(error)
    ? error
    : new HoldfastError('HF_MESSAGE_REFUSED', `The broker refuses the message: ${error.message}.`, { cause: error });
  return { kind: 'refused', permanent, error: wrapped };
}

/** What makes a message unsendable, found before anything is sent. */
function faultOf(message: OutboundMessage, settings: BullmqSettings): Error | undefined {
  try {
    settings.naming.assertDestination(message.destination);
  } catch (error) {
    return error as Error;
  }
  // It goes to the broker as the text it is; BullMQ could never hand out a job whose data it cannot parse.
  if (!message.wire.startsWith('{') || !message.wire.endsWith('}'))
    return new HoldfastError('HF_MESSAGE_REFUSED', 'The envelope is no JSON object.');
  // A UTF-16 code unit is at most three bytes of UTF-8, so most messages need no counting.
  if (message.wire.length * 3 <= settings.maxMessageBytes) return undefined;
  const bytes = Buffer.byteLength(message.wire);
  if (bytes <= settings.maxMessageBytes) return undefined;
  return new HoldfastError(
    'HF_MESSAGE_REFUSED',
    `The envelope has ${bytes} bytes, more than the ${settings.maxMessageBytes} this transport takes.`,
    {
      advice: 'Send a reference to the data instead, or raise maxMessageBytes if the broker takes more.',
      details: { bytes, limit: settings.maxMessageBytes },
    },
  );
}
