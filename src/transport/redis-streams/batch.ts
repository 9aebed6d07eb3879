/**
 * How a batch is sent: which message goes to which partition, how many go in one command, and what is refused before anything is sent. Pure.
 */
import { HoldfastError } from '../../errors.ts';
import { partitionOf } from '../partitions.ts';
import type { OutboundMessage, PublishOutcome } from '../port.ts';
import { assertStreamName } from './keys.ts';
import type { StreamsSettings } from './options.ts';

/** Redis does nothing else while it adds a chunk: a millisecond for this many. */
const CHUNK_MESSAGES = 500;
/** A chunk ends early at this many characters, so that large messages do not pile up in one command. */
const CHUNK_CHARACTERS = 4 * 1024 * 1024;

/** What of a batch goes to one partition, in the order of the batch. */
export interface PartitionBatch {
  readonly destination: string;
  readonly partition: number;
  readonly messages: OutboundMessage[];
  /** The place of each in the batch. */
  readonly places: number[];
}

/** @param outcomes of the batch: gets what is refused */
export function splitBatch(
  batch: readonly OutboundMessage[],
  settings: Pick<StreamsSettings, 'partitionsOf' | 'maxMessageBytes'>,
  outcomes: PublishOutcome[],
): readonly PartitionBatch[] {
  const byStream = new Map<string, PartitionBatch>();
  batch.forEach((message, place) => {
    const error = faultIn(message, settings.maxMessageBytes);
    if (error !== null) {
      outcomes[place] = { kind: 'refused', permanent: true, error };
      return;
    }
    const { destination } = message;
    const partition = partitionOf(message, settings.partitionsOf(destination));
    const name = `${destination}#${partition}`;
    let part = byStream.get(name);
    if (part === undefined) byStream.set(name, (part = { destination, partition, messages: [], places: [] }));
    part.messages.push(message);
    part.places.push(place);
  });
  return [...byStream.values()];
}

/** Behind which message the chunk that begins at `from` ends. */
export function chunkEnd(messages: readonly OutboundMessage[], from: number): number {
  let characters = 0;
  let end = from;
  while (end < messages.length && end - from < CHUNK_MESSAGES) {
    characters += messages[end]?.wire.length ?? 0;
    if (end > from && characters > CHUNK_CHARACTERS) break;
    end += 1;
  }
  return end;
}

function faultIn({ destination, wire }: OutboundMessage, limit: number): Error | null {
  try {
    assertStreamName(destination);
  } catch (error) {
    return error as Error;
  }
  // A UTF-16 code unit is at most three bytes of UTF-8, so most messages need no counting.
  const bytes = wire.length * 3 <= limit ? 0 : Buffer.byteLength(wire);
  if (bytes <= limit) return null;
  return new HoldfastError('HF_MESSAGE_REFUSED', `The envelope has ${bytes} bytes; the transport takes ${limit}.`, {
    advice: 'Send a reference to the data instead, or raise maxMessageBytes if Redis takes more.',
    details: { bytes, limit },
  });
}
