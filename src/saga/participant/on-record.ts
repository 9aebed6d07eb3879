/**
 * Checks that a compensation asks for no more than the participant has on record of its call. The message came through a broker, which
 * others may write to; the record is the participant's own. Pure.
 */
import type { Answer } from './participant-store.ts';

/** Names of properties that a compensation may say freely; 'all': it is taken at its word. */
export type Trusted = readonly string[] | 'all';

/**
 * Names of the properties of `payload` whose values are not on record. A value is on record when the record has a property of that name
 * with that value; or, if it has no property of that name, when the value is anywhere in it. Compensations are built that way: from
 * input and output of what they compensate.
 * @param payload as it came in the message, before any schema, with exact numbers
 * @param record the payload of the command, with exact numbers (undefined: none is on record), and what it was answered with
 * @param known further values that the participant knows by itself, such as the run and the call
 */
export function notOnRecord(
  payload: unknown,
  record: { readonly command: unknown; readonly reply: Answer | null },
  known: readonly string[],
  trusted: Trusted,
): readonly string[] {
  if (trusted === 'all') return [];
  const byName = new Map<string, Set<string>>();
  const anywhere = new Set(known.map(leafOf));
  const note = (name: string, leaf: string): void => {
    anywhere.add(leaf);
    const values = byName.get(name);
    if (values === undefined) byName.set(name, new Set([leaf]));
    else values.add(leaf);
  };
  eachLeaf(record.command, note);
  if (record.reply?.outcome === 'done') eachLeaf(record.reply.output, note);
  const free = new Set(trusted);
  const strange = new Set<string>();
  eachLeaf(payload, (name, leaf) => {
    if (!free.has(name) && !(byName.get(name) ?? anywhere).has(leaf)) strange.add(name);
  });
  return [...strange];
}

/** Every value that is neither an object nor a list, with the name of the property it stands under; '' where it stands under none. */
function eachLeaf(root: unknown, visit: (name: string, leaf: string) => void): void {
  // A list of its own instead of recursion: how deep a payload goes is up to its sender.
  const open: [string, unknown][] = [['', root]];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [name, value] = next;
    if (value === undefined) continue;
    if (Array.isArray(value)) for (const each of value) open.push([name, each]);
    else if (typeof value === 'object' && value !== null) open.push(...Object.entries(value));
    else visit(name, leafOf(value));
  }
}

/** The same for equal values only: texts are told from numbers. */
function leafOf(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}
