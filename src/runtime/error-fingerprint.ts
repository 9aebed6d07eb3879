/**
 * The fingerprint of an error: twelve digits that are the same for all failures of one kind. Whoever parks a message notes it, since the
 * database takes a hundred times as long over it.
 *
 * The definition stands twice, here and in the SQL functions error_pattern and error_fingerprint (migration 0016), which serve rows that
 * were parked without one. In a database in UTF8 they agree on every text; a test holds them together. What only the database can tell is
 * left to it: which characters beyond ASCII its locale takes for white space. Pure.
 */
import { createHash } from 'node:crypto';

/** Of reason and error, as they are stored. Null: there is no error, or only the database can tell. */
export function errorFingerprint(reason: string, error: string | null): string | null {
  if (error === null || UNSURE.test(error)) return null;
  return createHash('sha256')
    .update(`${reason}\n${errorPattern(error)}`)
    .digest('hex')
    .slice(0, 12);
}

/** Spaces, controls, and what this Unicode does not know yet. */
const UNSURE = /(?!\p{ASCII})[\p{Z}\p{C}]/u;

/** The digits of a code are hidden as these while all others are taken out; a text has none of them by itself. */
const HIDDEN = String.fromCodePoint(1, 2, 3, 4, 5, 6, 7, 8, 14, 15);
const ANY_HIDDEN = new RegExp(`[${HIDDEN}]`, 'g');
const MOST_CHARACTERS = 300;

/** What one kind of failure has in common: what differs from message to message is taken out. At most 300 characters. */
function errorPattern(error: string): string {
  const words = error.replace(ANY_HIDDEN, '').replace(/[\t\n\v\f\r ]+/g, ' ');
  const unquoted = withoutPlaces(withoutQuoted(words));
  const pattern = (/[0-9]/.test(unquoted) ? withoutNumbers(unquoted) : unquoted)
    .replace(/<text>(?:, <text>)+/g, '<text>')
    .replace(/^ +| +$/g, '');
  return pattern.length <= MOST_CHARACTERS ? pattern : Array.from(pattern).slice(0, MOST_CHARACTERS).join('');
}

/** A single quote within a word is an apostrophe. */
function withoutQuoted(text: string): string {
  if (!/["'`]/.test(text)) return text;
  return text
    .replace(/"(?:[^"\\]|\\.)*"/gs, '<text>')
    .replace(/`[^`]*`/g, '<text>')
    .replace(/(?<![0-9A-Za-z])'.*?'(?![0-9A-Za-z])/gs, '<text>');
}

/** Addresses and paths. */
function withoutPlaces(text: string): string {
  let found = text;
  if (found.includes('://')) found = found.replace(/[A-Za-z][0-9A-Za-z+.-]*:\/\/[^\][ <>,;()]+/g, '<address>');
  if (found.includes('@')) found = found.replace(/[0-9A-Za-z._%+-]+@[0-9A-Za-z-]+[.][0-9A-Za-z.-]+/g, '<address>');
  if (found.includes('/')) found = found.replace(/(?<![0-9A-Za-z<.~])[.~]{0,2}(?:\/[^\][ /:<>,;()]+)+\/?/g, '<path>');
  if (found.includes(':\\')) found = found.replace(/(?<![0-9A-Za-z])[A-Za-z]:\\[^\][ :<>,;()]+/g, '<path>');
  return found;
}

const NAMES_OF_TIMES = /(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)(?=,? <n>)/g;

/** Words that have a digit. What is joined is one value, and a list of values one, however long it is. */
function withoutNumbers(text: string): string {
  const numbered = text
    // A code stays: "error: [42P01] relation ...".
    .replace(/: \[[0-9A-Za-z_-]+\] /g, (code) => code.replace(/[0-9]/g, (digit) => HIDDEN.charAt(Number(digit))))
    // Begun only where a word begins: without that, a long word would be looked through from each of its letters.
    .replace(/(?<![0-9A-Za-z_-])[A-Za-z_-]*[0-9][0-9A-Za-z_-]*/g, '<n>')
    // The name of a day is followed by that of a month.
    .replace(NAMES_OF_TIMES, '<n>')
    .replace(NAMES_OF_TIMES, '<n>');
  return numbered
    .replace(/[+-]?<n>(?:[ .,:/+-]+<n>)*/g, '<n>')
    .replace(ANY_HIDDEN, (digit) => String(HIDDEN.indexOf(digit)));
}
