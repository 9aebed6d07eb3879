/**
 * Turns a payload into JSON text. Refuses whatever would not come back equal, or could not be stored. This is the hot path of outbox.send:
 * one walk that only looks at types, one native JSON.stringify, two native searches of its text.
 *
 * The JSON comes back equal, with two exceptions: properties that are undefined are left out, and -0 becomes 0.
 */
import { HoldfastError } from '../errors.ts';
import { MAX_JSON_DEPTH } from './json-limits.ts';
import { isStorableText } from './text.ts';

export interface EncodeOptions {
  /** Most UTF-8 bytes the text may have. */
  readonly maxBytes: number;
  /** What is being encoded, for errors, such as the topic. */
  readonly where: string;
}

/** @throws HoldfastError HF_PAYLOAD_NOT_JSON, HF_PAYLOAD_TEXT, HF_PAYLOAD_TOO_LARGE; errors name the place, never the value */
export function encodePayload(value: unknown, options: EncodeOptions): string {
  const problem = findProblem(value, 0);
  if (problem !== null) throw notJson(problem, value, options.where);
  const text = JSON.stringify(value);
  // JSON.stringify escapes NUL and lone surrogates (and only those surrogates), so both leave a trace in ASCII.
  if (text.includes('\\u0000') || text.includes('\\ud')) refuseUnstorableText(value, options.where);
  assertBytes(text, options);
  return text;
}

/** @throws HoldfastError HF_PAYLOAD_TOO_LARGE */
export function assertBytes(text: string, options: EncodeOptions): void {
  // At most three bytes a UTF-16 unit, so short texts need no counting.
  if (text.length * 3 > options.maxBytes) {
    const bytes = Buffer.byteLength(text);
    if (bytes > options.maxBytes) throw tooLarge(bytes, options);
  }
}

interface Problem {
  /** What stands there, such as `a Date`. */
  readonly what: string;
  readonly advice: string;
  /** From the innermost out. */
  readonly path: (string | number)[];
}

/** The first value that JSON cannot carry. The path is only put together on the way back from one. */
function findProblem(value: unknown, depth: number): Problem | null {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return null;
    case 'number':
      return Number.isFinite(value) ? null : found(String(value), 'Send null or a text for what is not a number.');
    case 'object':
      break;
    case 'undefined':
      return found('undefined', 'Send null, or leave the property out.');
    case 'bigint':
      return found('a BigInt', 'Send it as a text; the schema of the message type can turn it back into a BigInt.');
    default:
      return found(`a ${typeof value}`, 'Send plain data only.');
  }
  if (value === null) return null;
  if (depth >= MAX_JSON_DEPTH) return found(`nested more than ${MAX_JSON_DEPTH} deep`, 'Send a flatter value.');
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) {
      const problem = findProblem(value[index], depth + 1);
      if (problem !== null) return within(problem, index);
    }
    return null;
  }
  if (!isPlainObject(value)) return found(`a ${nameOf(value)}`, adviceFor(value));
  for (const key of Object.keys(value)) {
    const inner = (value as Readonly<Record<string, unknown>>)[key];
    if (inner === undefined) continue;
    const problem = findProblem(inner, depth + 1);
    if (problem !== null) return within(problem, key);
  }
  return null;
}

function found(what: string, advice: string): Problem {
  return { what, advice, path: [] };
}

function within(problem: Problem, step: string | number): Problem {
  problem.path.push(step);
  return problem;
}

function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  // The last one: plain objects of another realm (vm contexts, test runners).
  return prototype === Object.prototype || prototype === null || Object.getPrototypeOf(prototype) === null;
}

function nameOf(value: object): string {
  const name: unknown = value.constructor?.name;
  return typeof name === 'string' && name !== '' ? name : 'class instance';
}

function adviceFor(value: object): string {
  if (value instanceof Date)
    return 'Send date.toISOString(); the schema of the message type can turn it back into a Date.';
  if (value instanceof Map || value instanceof Set) return 'Send an array, such as [...value].';
  if (ArrayBuffer.isView(value)) return "Send it as base64: Buffer.from(value).toString('base64').";
  return 'Send a plain object, such as { ...value }.';
}

function notJson(problem: Problem, value: unknown, where: string): HoldfastError {
  const path = problem.path.toReversed();
  if (path.length >= MAX_JSON_DEPTH && isCyclic(value, path)) {
    return new HoldfastError('HF_PAYLOAD_NOT_JSON', `${where}: the payload refers back to itself.`, {
      advice: 'Send ids instead of references to the parent.',
    });
  }
  return new HoldfastError(
    'HF_PAYLOAD_NOT_JSON',
    `${where}: ${showPath(path)} is ${problem.what}, which JSON cannot carry.`,
    {
      advice: problem.advice,
      details: { path: showPath(path) },
    },
  );
}

function isCyclic(value: unknown, path: readonly (string | number)[]): boolean {
  const seen = new Set<unknown>();
  let at = value;
  for (const step of path) {
    if (seen.has(at)) return true;
    seen.add(at);
    at = (at as Readonly<Record<string | number, unknown>>)[step];
  }
  return seen.has(at);
}

/** `payload.items[2].price`; keys that are no names are quoted, and long paths cut. */
export function showPath(path: readonly PropertyKey[]): string {
  let shown = 'payload';
  for (const step of path) {
    if (typeof step === 'number') shown += `[${step}]`;
    else shown += /^[A-Za-z_$][\w$]*$/.test(String(step)) ? `.${String(step)}` : `[${JSON.stringify(String(step))}]`;
    if (shown.length > 200) return `${shown.slice(0, 200)}…`;
  }
  return shown;
}

/** Slow and exact; runs only when the text looks suspicious, which `"\\u0000"` written out by somebody also does. */
function refuseUnstorableText(value: unknown, where: string): void {
  const path = findUnstorable(value);
  if (path === null) return;
  throw new HoldfastError(
    'HF_PAYLOAD_TEXT',
    `${where}: ${showPath(path.toReversed())} holds NUL (U+0000) or a lone surrogate, which PostgreSQL cannot store.`,
    {
      advice: 'Remove it, or encode binary data as base64.',
    },
  );
}

/** The path of the first unstorable text, from the innermost out; for a key, the path of the key. */
function findUnstorable(value: unknown): (string | number)[] | null {
  if (typeof value === 'string') return isStorableText(value) ? null : [];
  if (typeof value !== 'object' || value === null) return null;
  const entries: Iterable<[string | number, unknown]> = Array.isArray(value) ? value.entries() : Object.entries(value);
  for (const [key, inner] of entries) {
    // JSON leaves out properties that are undefined, so their keys do not matter.
    if (inner === undefined) continue;
    if (typeof key === 'string' && !isStorableText(key)) return [key];
    const path = findUnstorable(inner);
    if (path !== null) return (path.push(key), path);
  }
  return null;
}

function tooLarge(bytes: number, options: EncodeOptions): HoldfastError {
  return new HoldfastError(
    'HF_PAYLOAD_TOO_LARGE',
    `${options.where}: the payload has ${bytes} bytes of JSON; the limit is ${options.maxBytes}.`,
    {
      advice: 'Store large data elsewhere and send its address, or raise maxBytes if your broker carries it.',
      details: { bytes, limit: options.maxBytes },
    },
  );
}
