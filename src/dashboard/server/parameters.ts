/**
 * What stands in queries and bodies, as schemas: limits, times, cursors, reasons.
 */
import { z } from 'zod';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import type { ListPage } from './contract.ts';

/** More would be no page that a person reads, and makes the database work for it. */
const MOST_ITEMS = 200;

/** Of a list. */
export const limit = z.coerce.number().int().min(1).max(MOST_ITEMS).default(50).describe('At most so many items.');

export const cursor = z.string().min(1).max(500).describe('`next` of the page before it; without it, the first page.');

export const text = z.string().min(1).max(500);

export const topic = text.optional().describe('A topic pattern: order.placed, order.*, order.**');

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
