/**
 * Limits for JSON, wherever it comes in: how deep it may be (MAX_JSON_DEPTH), and no numbers that JavaScript would read as infinite.
 * The encoder, the decoder and the SQL functions (migrations/0004_outbox_guards.sql) share one limit. What passes it cannot overflow a
 * stack: not ours, not that of a schema, not PostgreSQL's.
 */

/** The most levels of arrays and objects. PostgreSQL's own parser gives up at some thousands; real payloads have about ten. */
export const MAX_JSON_DEPTH = 500;

/** A text with fewer characters cannot be deeper than that: each level takes two. */
const TOO_SHORT = 2 * MAX_JSON_DEPTH;

/** Whether a value that JSON.parse made is nested deeper than `limit`. `text`, where there is one, spares short values the walk. */
export function isTooDeep(value: unknown, text?: string, limit = MAX_JSON_DEPTH): boolean {
  return (text === undefined || text.length > TOO_SHORT) && isDeeper(value, limit);
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels === 0) return true;
  if (Array.isArray(value)) return value.some((each) => isDeeper(each, levels - 1));
  for (const key of Object.keys(value))
    if (isDeeper((value as Readonly<Record<string, unknown>>)[key], levels - 1)) return true;
  return false;
}

/**
 * What every number beyond the range of a double has: that many digits, or an exponent of three. Also many a text, so only a hint, and
 * for short texts only: over runs of 308 digits it would take its time.
 */
const PERHAPS_INFINITE = /\d{309}|[eE]\+?\d{3}/;

/** Whether JSON.parse made Infinity of a number. Of values that are not too deep. */
export function holdsInfinity(value: unknown, text?: string): boolean {
  return (text === undefined || text.length > TOO_SHORT || PERHAPS_INFINITE.test(text)) && isInfiniteWithin(value);
}

function isInfiniteWithin(value: unknown): boolean {
  if (typeof value === 'number') return !Number.isFinite(value);
  if (typeof value !== 'object' || value === null) return false;
  return Object.values(value).some(isInfiniteWithin);
}
