/**
 * Fingerprints of requests: they tell a repeated request from a different one under the same key.
 */
import { createHash } from 'node:crypto';
import { HoldfastError } from '../../errors.ts';
import { MAX_JSON_DEPTH } from '../../message/json-limits.ts';

/**
 * SHA-256 of a request, whatever the order of its properties. Give it all that makes the request what it is.
 *
 * What JSON can carry counts as its JSON: properties that are undefined are left out, and a Date is its ISO text. What JSON would lose is
 * told apart all the same: NaN and infinities, undefined in lists, BigInt, Map and Set (whatever the order of their entries), an invalid
 * Date.
 *
 * @throws HoldfastError HF_CONFIG for what cannot be told apart from others of its kind (functions, symbols, objects that show nothing
 * of what they hold, such as URLSearchParams), and for what refers back to itself or is nested more than 500 deep
 * @example
 * const fingerprint = fingerprintOf({ method: 'POST', path: '/orders', body: { orderId: 'o-1' } });
 */
export function fingerprintOf(request: unknown): string {
  return createHash('sha256').update(canonical(request, 0)).digest('hex');
}

/**
 * For what JSON carries, the JSON with sorted properties: such fingerprints are stored, so they stay what they are. For the rest, words
 * that are no JSON, so that they are equal to nothing else.
 */
function canonical(value: unknown, depth: number): string {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return JSON.stringify(value);
    case 'number':
      return Number.isFinite(value) ? JSON.stringify(value) : String(value);
    case 'bigint':
      return `${value}n`;
    case 'undefined':
      return 'undefined';
    case 'object':
      return value === null ? 'null' : ofObject(value, depth);
    default:
      throw refused(`a ${typeof value}`);
  }
}

function ofObject(value: object, depth: number): string {
  if (depth >= MAX_JSON_DEPTH) throw refused(`nested more than ${MAX_JSON_DEPTH} deep, or refers back to itself`);
  const inner = (each: unknown): string => canonical(each, depth + 1);
  if (Array.isArray(value)) return `[${value.map(inner).join(',')}]`;
  if (value instanceof Map)
    return `Map{${[...value]
      .map(([key, each]) => `${inner(key)}:${inner(each)}`)
      .toSorted(byCodeUnits)
      .join(',')}}`;
  if (value instanceof Set) return `Set{${[...value].map(inner).toSorted(byCodeUnits).join(',')}}`;
  if (value instanceof Date && Number.isNaN(value.getTime())) return 'Invalid Date';
  if ('toJSON' in value) return JSON.stringify(value) ?? 'undefined';
  const entries = Object.entries(value).filter(([, each]) => each !== undefined);
  if (entries.length === 0 && !isPlain(value))
    throw refused(`a ${value.constructor?.name ?? 'object'}, which shows nothing of itself`);
  // Through an object, because that puts names that are numbers first, as the fingerprints of before have them.
  const sorted = Object.fromEntries(entries.toSorted(([a], [b]) => byCodeUnits(a, b)));
  return `{${Object.entries(sorted)
    .map(([name, each]) => `${JSON.stringify(name)}:${inner(each)}`)
    .join(',')}}`;
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function refused(what: string): HoldfastError {
  return new HoldfastError('HF_CONFIG', `fingerprintOf: the request holds what is ${what}.`, {
    advice: 'Give plain data: the texts, numbers, lists and objects that make the request what it is.',
  });
}
