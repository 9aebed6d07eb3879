/**
 * The lane of a key. The lane decides which shard of a subscription reads its messages.
 */

import { hash } from 'node:crypto';

/** Lanes are 0 to 1023; a shard s of n has those with lane % n = s. */
export const LANES = 1024;

/** The low ten bits of the first two bytes of sha256(key), as lane_of() in SQL. A message without a key takes its id. */
export function laneOf(key: string): number {
  // One call instead of a hash object, which costs several times as much as a message otherwise does here.
  return Number.parseInt(hash('sha256', key, 'hex').slice(0, 4), 16) & (LANES - 1);
}
