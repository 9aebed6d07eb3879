/**
 * What stands in queries and bodies, as schemas: limits, times, cursors, reasons.
 */
import { z } from 'zod';
import { altersNumbers } from '../../message/exact-json.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import type { ListPage } from './contract.ts';

/** More would be no page that a person reads, and makes the database work for it. */
const MOST_ITEMS = 200;

/** Of a list. */
export const limit = z.coerce.number().int().min(1).max(MOST_ITEMS).default(50).describe('At most so many items.');

export const cursor = z.string().min(1).max(500).describe('`next` of the page before it; without it, the first page.');

/** What PostgreSQL cannot store as a text is the name of nothing. */
const storable = (given: string): boolean => !given.includes('\u0000');

export const text = z.string().min(1).max(500).refine(storable, 'it holds what no text in the database holds');

export const topic = text.optional().describe('A topic pattern: order.placed, order.*, order.**');

export const searchCursor = cursor.describe('`older` or `newer` of another page of the same search.');

/** Of a saga; PostgreSQL has no greater ones. */
export const version = z.coerce.number().int().min(1).max(2_147_483_647);

/** How an id begins, or all of it; what it must look like is said by what looks for it. */
export const idPrefix = text.optional().describe('The id, or how it begins: at least 4 hexadecimal digits.');

/** More lists and objects are no search of a person, and deep ones are work for whoever goes through them. */
const MOST_BRACKETS = 200;

/** A JSON value, as a text. */
export const containedValue = z
  .string()
  .min(1)
  .max(10_000)
  .refine((given) => given.split(/[[{]/).length <= MOST_BRACKETS, 'it has too many lists and objects')
  .transform((given, context): unknown => {
    const value = parsed(given);
    if (value !== undefined && !altersNumbers(given)) return value;
    const message =
      value === undefined ? 'give JSON, such as {"orderId": "o-1"}' : 'it holds a number that JavaScript would alter';
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  });

/** Of messages: name=value, or several as a JSON object of texts. */
export const ownHeaders = z
  .string()
  .min(1)
  .max(10_000)
  .refine(storable, 'it holds what no text in the database holds')
  .transform((given, context): Readonly<Record<string, string>> => {
    const [, name, value] = /^([^={"]+)=(.*)$/s.exec(given) ?? [];
    const found = TEXTS.safeParse(name === undefined ? parsed(given) : { [name]: value });
    if (found.success) return found.data;
    context.addIssue({ code: 'custom', message: 'give name=value, or {"name": "value", …}' });
    return z.NEVER;
  })
  .describe('Headers of their own: name=value, or several as a JSON object.');

const TEXTS = z.record(z.string().min(1), z.string());

/** Undefined: it is no JSON. */
function parsed(given: string): unknown {
  try {
    return JSON.parse(given) as unknown;
  } catch {
    return undefined;
  }
}

/** How long to look for what no index serves. More would take the few connections from others. */
const MOST_LOOK_FOR_MS = 2_000;
export const lookFor = z
  .string()
  .regex(/^\d{1,5}(ms|s)$/, 'give 50ms to 2s')
  .refine((given) => parseDuration(given as Duration, 'lookFor') <= MOST_LOOK_FOR_MS, 'give at most 2s')
  .transform((given) => given as Duration)
  .optional()
  .describe('How long to look for what no index serves, at most 2s.');

/** A date, or how long ago. */
export const time = z
  .string()
  .max(40)
  .transform((given, context): Date => {
    const ago = /^\d+(\.\d+)?(ms|s|m|h|d)$/.test(given);
    const at = ago
      ? new Date(Date.now() - parseDuration(given as Duration, 'time'))
      : new Date(/^\d{4}-\d\d/.test(given) ? given : Number.NaN);
    if (!Number.isNaN(at.getTime())) return at;
    context.addIssue({ code: 'custom', message: 'give a date (2026-01-31T08:00:00Z) or how long ago (30m, 2h, 7d)' });
    return z.NEVER;
  })
  .describe('A date (2026-01-31T08:00:00Z), or how long ago (30m, 2h, 7d).');

export const reason = z.string().trim().min(1, 'a reason is required').max(2_000).describe('Why; stands in the audit.');

/** `true`, `1`, or there at all. */
export const flag = z
  .enum(['', '1', 'true', '0', 'false'])
  .transform((given) => given !== '0' && given !== 'false')
  .optional();

/** A list of one more than was asked for, as a page of it. Pure. */
export function pageOf<Item>(found: readonly Item[], most: number, cursorOf: (last: Item) => string): ListPage<Item> {
  const items = found.slice(0, most);
  const last = items.at(-1);
  return { items, next: found.length > most && last !== undefined ? cursorOf(last) : null };
}
