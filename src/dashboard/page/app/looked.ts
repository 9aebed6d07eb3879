/**
 * What a list says of how far it looked: what no index serves is looked through for a bounded time, and "nothing" is only said when all was
 * looked at. Pure.
 */
import { clockText, several } from './texts.ts';
import type { WireSearched } from './wire.ts';

type LookedFar = WireSearched<never>['looked'];

/** Null: it looked at all there is in its direction. `one`: what was looked through, 'message'. */
export function lookedText({ rows, reached, complete }: LookedFar, one: string, now: number): string | null {
  if (complete) return null;
  const far = reached === null ? '' : `, as far as ${clockText(Date.parse(reached), now)}`;
  return `Looked through ${several(rows, one)}${far}. There may be more that fit.`;
}
