/**
 * Fields that stand above several lists, each named as in the address.
 */
import type { FilterField } from './filters.tsx';

export const KEY_FIELD: FilterField = { name: 'key', label: 'Key', hint: 'the whole key' };
export const TOPIC_FIELD: FilterField = { name: 'topic', label: 'Topic', hint: 'order.placed, order.*' };

/** A time, or how long ago. */
export const sinceField = (label: string): FilterField => ({ name: 'since', label, hint: '30m, 2h, 7d, or a date' });
export const untilField = (label: string): FilterField => ({ name: 'until', label, hint: '5m, or a date' });
