/**
 * The id of a call: the step's name, and what the code names the call by. That name often comes from data, such as an order's lines or an
 * address, so whatever it holds is taken; what is not plain is escaped, and two names that differ stay two. Pure.
 */
import { createHash } from 'node:crypto';

/** What is longer is cut, and told apart by a hash: participants keep it in an index. */
const MOST_CHARACTERS = 200;
const KEPT_CHARACTERS = 150;

/**
 * How participants know a call. One that they have refused has their answer on record: when a person has it tried again, it is asked for
 * under another name. No id of a call has an exclamation mark.
 */
export function wireCall({ id, round }: { readonly id: string; readonly round: number }): string {
  return round === 1 ? id : `${id}!${round}`;
}

export function readWireCall(name: string): { readonly id: string; readonly round: number } {
  const mark = name.lastIndexOf('!');
  return mark < 0 ? { id: name, round: 1 } : { id: name.slice(0, mark), round: Number(name.slice(mark + 1)) };
}

/** Null for what names nothing: no text, or an empty one. */
export function callIdOf(step: string, name: unknown): string | null {
  if (name === undefined) return step;
  // A number is no text, and yet says what is meant.
  const text = typeof name === 'number' ? String(name) : name;
  if (typeof text !== 'string' || text === '') return null;
  const escaped = escapeName(text);
  if (escaped.length <= MOST_CHARACTERS) return `${step}:${escaped}`;
  const hash = createHash('sha256').update(escaped).digest('hex').slice(0, 32);
  return `${step}:${escaped.slice(0, KEPT_CHARACTERS)}~${hash}`;
}

/** `M4/20` is `M4%2F20`, by the bytes of UTF-8 as in a URL; half a surrogate pair, which has none, by its code. */
function escapeName(name: string): string {
  // Nearly all of them, and asked for each call at each replay.
  if (/^[A-Za-z0-9_.-]+$/.test(name)) return name;
  return name.replaceAll(/[^A-Za-z0-9_.-]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    if (code >= 0xd800 && code <= 0xdfff) return `%u${code.toString(16).toUpperCase()}`;
    return [...Buffer.from(character)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');
  });
}
