/**
 * JSON whose numbers are not altered. JSON.parse makes a double of each number: 9007199254740993 becomes …992, and 1e400 Infinity.
 * For message types that ask for it, such a number is read as a text or a BigInt instead.
 * What is stored as a text is parsed by it as well.
 */
import { randomBytes } from 'node:crypto';

/**
 * What becomes of numbers that a double would alter; all others stay numbers.
 * - `text`: the text that stands in the JSON.
 * - `bigint`: a BigInt when it is a whole number written without an exponent, otherwise the text.
 */
export type ExactNumbers = 'text' | 'bigint';

/** Every number that a double alters has as many digits, or an exponent. Only a hint: so have many texts. */
const PERHAPS_INEXACT = /\d{15}|\d\.\d{14}|\d[eE]/;

/** @param text JSON, known to be valid */
export function parseExact(text: string, numbers: ExactNumbers): unknown {
  if (!PERHAPS_INEXACT.test(text)) return JSON.parse(text);
  let exact = '';
  let doneTo = 0;
  let whole = false;
  for (const [start, end] of numberPlaces(text)) {
    const number = text.slice(start, end);
    if (isExact(number)) continue;
    const asBigint = numbers === 'bigint' && /^-?\d+$/.test(number);
    whole ||= asBigint;
    exact += `${text.slice(doneTo, start)}"${asBigint ? MARK : ''}${number}"`;
    doneTo = end;
  }
  const value: unknown = JSON.parse(exact + text.slice(doneTo));
  return whole ? withBigints(value) : value;
}

/** Whether JSON.parse would read another number than stands there. @param text JSON, known to be valid */
export function altersNumbers(text: string): boolean {
  if (!PERHAPS_INEXACT.test(text)) return false;
  for (const [start, end] of numberPlaces(text)) if (!isExact(text.slice(start, end))) return true;
  return false;
}

/** Before the digits of what is to be a BigInt. Random, so that no text that somebody sends begins with it. */
const MARK = randomBytes(18).toString('base64url');

function withBigints(value: unknown): unknown {
  if (typeof value === 'string') return value.startsWith(MARK) ? BigInt(value.slice(MARK.length)) : value;
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(withBigints);
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, withBigints(each)]));
}

/** Whether a double says the same number: its own text has the same digits at the same place. */
function isExact(number: string): boolean {
  const double = Number(number);
  return Number.isFinite(double) && digitsOf(number) === digitsOf(String(double));
}

/** Significant digits and the power of ten they stand at, so that `1.50e3` and `1500` are one. */
function digitsOf(number: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(number) ?? [];
  const digits = (whole + fraction).replace(/^0+/, '');
  const significant = digits.replace(/0+$/, '');
  if (significant === '') return '0';
  // As a BigInt: an exponent may itself be beyond what a double counts exactly.
  const power = BigInt(exponent) - BigInt(fraction.length) + BigInt(digits.length - significant.length);
  return `${sign}${significant}e${power}`;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;

/** Where numbers begin and end in a JSON text. */
function* numberPlaces(text: string): Generator<readonly [start: number, end: number]> {
  for (let at = 0; at < text.length;) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfText(text, at);
    } else if (isNumeric(code)) {
      const start = at;
      while (at < text.length && isNumeric(text.charCodeAt(at))) at += 1;
      // The letter e of true and false is none.
      if (/^-?\d/.test(text.slice(start, start + 2))) yield [start, at];
    } else at += 1;
  }
}

/** Digits and `+ - . e E`. */
function isNumeric(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || code === 0x2b || code === 0x2d || code === 0x2e || (code | 0x20) === 0x65;
}

/** The place after the text in quotes that begins at `start`. */
function endOfText(text: string, start: number): number {
  for (let quote = start; ;) {
    quote = text.indexOf('"', quote + 1);
    if (quote === -1) return text.length;
    let escapes = 0;
    while (text.charCodeAt(quote - 1 - escapes) === 0x5c) escapes += 1;
    if (escapes % 2 === 0) return quote + 1;
  }
}

/**
 * The text of a member of the outermost object, as it stands there; the last one of that name, as JSON.parse takes it. undefined when
 * there is none.
 * @param text JSON of an object, known to be valid
 */
export function memberText(text: string, name: string): string | undefined {
  return memberTexts(text, [name])[0];
}

/** As {@link memberText}, of several in one look: in the order of their names. */
export function memberTexts(text: string, names: readonly string[]): readonly (string | undefined)[] {
  const found = new Array<string | undefined>(names.length).fill(undefined);
  let depth = 0;
  let key: string | null = null;
  let valueAt = -1;
  for (let at = 0; at < text.length;) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      const end = endOfText(text, at);
      if (depth === 1 && key === null) key = JSON.parse(text.slice(at, end)) as string;
      at = end;
      continue;
    }
    if (depth === 1 && code === COLON && valueAt < 0) valueAt = at + 1;
    else if (depth === 1 && (code === COMMA || code === CLOSE)) {
      const index = valueAt < 0 || key === null ? -1 : names.indexOf(key);
      if (index >= 0) found[index] = text.slice(valueAt, at).trim();
      key = null;
      valueAt = -1;
    }
    if (code === OPEN || code === OPEN_LIST) depth += 1;
    else if (code === CLOSE || code === CLOSE_LIST) depth -= 1;
    at += 1;
  }
  return found;
}
