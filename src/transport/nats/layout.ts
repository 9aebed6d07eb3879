/**
 * By how many partitions the messages of a destination are spread: written down, so that processes that were told different numbers find
 * out. A publisher of an ordered destination waits until what was spread otherwise is handled; a receiver reads all that holds something.
 */
import { HoldfastError } from '../../errors.ts';
import type { NatsLink } from './link.ts';
import { type DestinationNames, type PartitionPlace, placeOfSubject, readingOf } from './names.ts';
import type { Notes } from './notes.ts';
import { NOTES_LAST_MS } from './streams.ts';

export interface WrittenLayout {
  /** By how many they are spread now. */
  readonly partitions: number;
  /** All numbers there were: what was spread so may still be there. */
  readonly known: readonly number[];
  readonly writtenMs: number;
}

const noteOf = ({ token }: DestinationNames): string => `layout.${token}`;
/** Different numbers that are remembered. */
const MOST_KNOWN = 16;

/** Null: nobody has written it, or what is written makes no sense. */
export async function readLayout(notes: Notes, names: DestinationNames): Promise<WrittenLayout | null> {
  const note = await notes.read(noteOf(names));
  if (typeof note?.value !== 'object' || note.value === null) return null;
  const { partitions, known } = note.value as { readonly partitions?: unknown; readonly known?: unknown };
  if (!isNumber(partitions) || !Array.isArray(known)) return null;
  return { partitions, known: known.filter(isNumber), writtenMs: note.writtenMs };
}

function isNumber(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) > 0;
}

/** Numbers that are not used any more are taken off the note after this. */
const TIDY_MS = 60_000;

/** What a publisher that was told `own` is to do. Pure. */
export function decideLayout(
  written: WrittenLayout | null,
  own: number,
  nowMs: number,
): 'go on' | 'look' | 'write again' {
  if (written?.partitions !== own) return 'look';
  const ageMs = nowMs - written.writtenMs;
  const hasOthers = written.known.some((number) => number !== own);
  return ageMs > NOTES_LAST_MS / 2 || (hasOthers && ageMs > TIDY_MS) ? 'write again' : 'go on';
}

/**
 * A publisher may spread messages over `own` partitions.
 *
 * @throws HoldfastError HF_TRANSPORT_UNAVAILABLE while messages that were spread over another number must be handled first
 */
export async function settleLayout(link: NatsLink, notes: Notes, names: DestinationNames, own: number): Promise<void> {
  const written = await readLayout(notes, names);
  const decision = decideLayout(written, own, Date.now());
  if (decision === 'go on') return;
  const others = (await heldPlaces(link, names)).filter(({ partitions }) => partitions !== own);
  const left = others.reduce((sum, { messages }) => sum + messages, 0);
  if (decision === 'look' && left > 0 && !(await isUnordered(link, names)))
    throw new HoldfastError(
      'HF_TRANSPORT_UNAVAILABLE',
      `${names.destination} holds ${left} messages spread over ${others[0]?.partitions} partitions; this publisher was told ${own}.`,
      {
        advice: 'It goes on by itself once consumers have handled them. If the number was not to change, mend queues.',
        details: { destination: names.destination, own, left },
      },
    );
  // Whoever spread them otherwise until now may still do so for a while.
  const before = decision === 'look' ? (written?.known ?? []) : others.map(({ partitions }) => partitions);
  const known = [...new Set([own, ...before])].slice(0, MOST_KNOWN);
  await notes.write(noteOf(names), { partitions: own, known });
}

/** The partitions that hold messages, in flight ones included. It may take the server a while where very many wait. */
export async function heldPlaces(
  link: NatsLink,
  names: DestinationNames,
): Promise<readonly (PartitionPlace & { readonly messages: number })[]> {
  const { state } = await link.api.streams.info(names.stream, { subjects_filter: names.subjects });
  return Object.entries(state.subjects ?? {}).flatMap(([subject, messages]) => {
    const place = placeOfSubject(names, subject);
    return place === null || messages === 0 ? [] : [{ ...place, messages }];
  });
}

/** Somebody reads it so. Where nobody has read it yet, it may be read in order tomorrow. */
async function isUnordered(link: NatsLink, { stream }: DestinationNames): Promise<boolean> {
  for await (const { name } of link.api.consumers.list(stream)) if (readingOf(name) === 'unordered') return true;
  return false;
}
