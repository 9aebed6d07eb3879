/**
 * Decides how many messages whose signature is not accepted are parked, and what becomes of others. Pure.
 */
import type { HoldfastError } from '../../errors.ts';
import { HAND_ON_ORDERED_CAP_MS } from './decide.ts';

/** A refused message that there is no room to park goes back for this long, and longer when there are many. */
const REFUSED_MS = 60_000;
const REFUSED_APART_MS = 10;
const REFUSED_CAP_MS = 900_000;

/** How much of something is parked. */
export interface ParkedSize {
  readonly messages: number;
  /** Of their envelopes, as they are kept. */
  readonly bytes: number;
}

/** How many refused messages are parked, and what becomes of others. */
export interface RefusedLimits {
  readonly maxMessages: number;
  readonly maxBytes: number;
  readonly whenFull: 'leave' | 'drop';
}

/** What a refused message says for itself that a person may make good: its key comes, or it is known to be no copy. */
const MAY_BE_TRUE: ReadonlySet<unknown> = new Set(['key', 'age']);

/**
 * Whether a message whose signature is not accepted is parked. Where there is no room it is left in the broker: it may be a true one that a
 * deployment sent too early, and who fills the broker with others can do so anyway. Only by a person's word it is dropped.
 */
export function decideRefused(facts: {
  /** HF_MESSAGE_UNVERIFIED. */
  readonly error: HoldfastError;
  readonly bytes: number;
  /** What is parked for this reason already. */
  readonly parked: ParkedSize;
  readonly limits: RefusedLimits;
}): 'park' | 'leave' | 'drop' {
  const { error, bytes, parked, limits } = facts;
  if (parked.messages < limits.maxMessages && parked.bytes + bytes <= limits.maxBytes) return 'park';
  return limits.whenFull === 'drop' && !MAY_BE_TRUE.has(error.details?.['part']) ? 'drop' : 'leave';
}

/**
 * When a refused message that is left in the broker comes again, in milliseconds on the clock of `nowMs`. Each some time after the one
 * before it, `lastMs`, so that a million of them do not go round and round.
 */
export function refusedAgainMs(lastMs: number, nowMs: number, ordered: boolean): number {
  if (ordered) return nowMs + HAND_ON_ORDERED_CAP_MS;
  return Math.min(nowMs + REFUSED_CAP_MS, Math.max(nowMs + REFUSED_MS, lastMs + REFUSED_APART_MS));
}
