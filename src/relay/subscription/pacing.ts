/**
 * How long a relay waits before it looks at the log again. Pure.
 *
 * A poll of an unchanged log costs the database about 50 microseconds, so while messages come the relay polls every millisecond and
 * no commit has to pay for a NOTIFY. When nothing comes it slows down, and after SLEEP_AFTER_MS it says that it is asleep: from
 * then on writers notify, and it polls only in case a wake-up was missed.
 */

/** The most polls that follow each other without a wait for a message about to be committed: up to 2 ms with a local database. */
export const MOST_PATIENCE = 16;

export const FAST_MS = 1;
export const SLOW_MS = 20;
export const SLEEP_AFTER_MS = 1_000;

/** A page of so many messages shows that they come faster than they are read one by one. */
const CROWD = 8;
/** Hints in a row that led to nothing, after which the runner waits for its own next look: they are about what others publish. */
const MOST_FRUITLESS = 16;

export type Pace =
  | { readonly kind: 'poll'; readonly delayMs: number }
  /** Declare sleep (again), look once more, then wait for a wake-up. */
  | { readonly kind: 'sleep' };

/**
 * A seq that was drawn and whose row does not show yet belongs to a transaction under way, which mostly commits within a round trip
 * or two; so the next polls come at once. How many depends on whether that paid lately: transactions that stay open long after they
 * wrote, or roll back, must not keep the relay busy.
 */
export interface Expectation {
  /** The highest seq drawn at the last poll. */
  readonly drawn: number;
  /** Polls in a row that found nothing although something was drawn beyond the cursor. */
  readonly polls: number;
  /** How many of them come without a wait. */
  readonly patience: number;
}

export const NOTHING_EXPECTED: Expectation = { drawn: 0, polls: 0, patience: MOST_PATIENCE };

/** Whether the next poll should come at once. */
export function isExpecting({ polls, patience }: Expectation): boolean {
  return polls > 0 && polls <= patience;
}

/** After a poll. One that found messages is followed by a wait, so that under load they are read in batches instead of one by one. */
export function expectAfter(before: Expectation, poll: { drawn: number; high: number; found: boolean }): Expectation {
  const drawn = Math.max(before.drawn, poll.drawn);
  const waits = !poll.found && drawn > poll.high;
  if (waits && drawn === before.drawn) return { ...before, polls: before.polls + 1 };
  return { drawn, polls: waits ? 1 : 0, patience: learn(before, poll.found) };
}

/** Twice as patient when it paid, or when the first poll after a wait shows that it would have; half as patient when it did not. */
function learn({ polls, patience }: Expectation, found: boolean): number {
  if (polls > patience + 1) return Math.max(1, Math.floor(patience / 2));
  return found && polls > 0 ? Math.min(MOST_PATIENCE, patience * 2) : patience;
}

/** Whether somebody of this process who has committed messages is worth a look at once, instead of at the next poll. */
export function welcomesHint({ lastPage, fruitless }: { lastPage: number; fruitless: number }): boolean {
  return lastPage < CROWD && fruitless < MOST_FRUITLESS;
}

/** `expecting`: a message is about to be committed. `idleForMs`: since the last message. `canSleep`: wake-ups can arrive. */
export function pace(facts: { more: boolean; expecting: boolean; idleForMs: number; canSleep: boolean }): Pace {
  if (facts.more || facts.expecting) return { kind: 'poll', delayMs: 0 };
  if (facts.idleForMs >= SLEEP_AFTER_MS && facts.canSleep) return { kind: 'sleep' };
  // Linear: after 100 ms of silence every 2 ms, after a second every 20 ms.
  return { kind: 'poll', delayMs: Math.min(SLOW_MS, Math.max(FAST_MS, Math.floor(facts.idleForMs / 50))) };
}
