/**
 * What things are called in NATS: streams, subjects, consumers. Processes of different versions must agree on this. Pure.
 *
 * The stream of a destination is `PREFIX-NAME`, its messages have the subject `PREFIX.NAME.PARTITIONS.PARTITION`: by how many partitions
 * they are spread stands in it, so that nobody has to guess. One stream more, `PREFIX_notes`, has what belongs to no message (notes.ts).
 */
import { HoldfastError } from '../../errors.ts';

export const DEFAULT_NATS_PREFIX = 'holdfast';

/** Without '-' and '_', so that no name of one prefix is a name of another one. */
const PREFIX = /^[A-Za-z0-9]{1,32}$/;
/** Names are folders on the disks of the servers, and most file systems end at 255 bytes. */
const LONGEST_NAME = 180;
/** The consumer of a destination that is read without order; one of a partition has its place behind it. */
const CONSUMER = 'holdfast';

export function isPrefix(text: string): boolean {
  return PREFIX.test(text);
}

/**
 * A destination as NATS can have it in a name: what is no letter, digit, '-' or '_' becomes '%' and two digits, as in URLs.
 *
 * @throws HoldfastError HF_CONFIG
 */
export function tokenOf(destination: string): string {
  const token = encoded(destination);
  if (token !== null && token !== '' && token.length <= LONGEST_NAME) return token;
  throw new HoldfastError('HF_CONFIG', `${JSON.stringify(destination)} cannot be the name of a stream of NATS.`, {
    advice: `Give a name that is not empty and has at most ${LONGEST_NAME} letters, digits, '-' or '_'; others count three times.`,
  });
}

function encoded(text: string): string | null {
  try {
    return encodeURIComponent(text).replaceAll(
      /[.!~*'()]/g,
      (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`,
    );
  } catch {
    // Half of a pair of code units is no text.
    return null;
  }
}

/** What the streams, subjects and consumers of one destination are called. */
export interface DestinationNames {
  readonly destination: string;
  readonly token: string;
  readonly stream: string;
  /** Of all its messages, with wildcards. */
  readonly subjects: string;
}

/** @throws HoldfastError HF_CONFIG */
export function namesOf(prefix: string, destination: string): DestinationNames {
  const token = tokenOf(destination);
  return { destination, token, stream: `${prefix}-${token}`, subjects: `${prefix}.${token}.*.*` };
}

/** The destination whose stream this is; null: it is no stream of ours. */
export function destinationOf(prefix: string, stream: string): string | null {
  if (!stream.startsWith(`${prefix}-`)) return null;
  try {
    return decodeURIComponent(stream.slice(prefix.length + 1));
  } catch {
    return null;
  }
}

/** The place of a message: one of `partitions`. */
export interface PartitionPlace {
  readonly partitions: number;
  readonly partition: number;
}

export function subjectOf({ subjects }: DestinationNames, { partitions, partition }: PartitionPlace): string {
  return `${subjects.slice(0, -'*.*'.length)}${partitions}.${partition}`;
}

/** Null: not a subject of this destination. */
export function placeOfSubject({ subjects }: DestinationNames, subject: string): PartitionPlace | null {
  const root = subjects.slice(0, -'*.*'.length);
  const found = subject.startsWith(root) ? /^([1-9]\d*)\.(\d+)$/.exec(subject.slice(root.length)) : null;
  return found === null ? null : { partitions: Number(found[1]), partition: Number(found[2]) };
}

/** @param place null: of all partitions, without order */
export function consumerName(place: PartitionPlace | null): string {
  return place === null ? CONSUMER : `${CONSUMER}-${place.partitions}-${place.partition}`;
}

/** How a consumer of ours reads, by its name; null: it is somebody else's. */
export function readingOf(consumer: string): 'ordered' | 'unordered' | null {
  if (consumer === CONSUMER) return 'unordered';
  return /^holdfast-[1-9]\d*-\d+$/.test(consumer) ? 'ordered' : null;
}

export function notesStream(prefix: string): string {
  return `${prefix}_notes`;
}

/** A message id in the header by which the server knows it again. Ids are UUIDs, so that anything else in them is theory. */
export function storedId(message: { readonly id: string; readonly replayId: string | null }): string {
  const id = message.replayId === null ? message.id : `${message.id}.${message.replayId}`;
  return /^[!-~]+$/.test(id) ? id : JSON.stringify(id).replaceAll(/[^!-~]/g, (letter) => escaped(letter));
}

function escaped(letter: string): string {
  return `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
