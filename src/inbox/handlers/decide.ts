/**
 * Decides what a consumer does next with a delivery. Pure functions over facts; delivery/ carries the decisions out. Every number that shapes
 * the behaviour of a consumer stands here or in the policies passed in.
 */
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import { backoffMs, decideRetry, isPermanent, type RetryPolicy } from '../../runtime/retry.ts';

/** Why a message was parked; stored, shown to operators, and read back by the redrive. */
export const PARK_REASONS = {
  gaveUp: 'gave up after retries',
  permanent: 'permanent error',
  undecodable: 'cannot be decoded',
  /** It may come from anybody who can write to the broker. */
  unverified: 'its signature is not accepted',
  /** It was, until somebody had it looked at again. */
  verified: 'its signature is accepted now, not tried yet',
  noHandler: 'no handler',
  /** A reply whose run is not in this database. */
  noRun: 'no such run here',
  crashed: 'crashed the consumer',
  predecessor: 'predecessor missing',
  behind: 'behind an earlier message of its key',
  /** An operator released it without its predecessor. */
  released: 'released without its predecessor',
  /** An operator put a new version in its place; the next attempt says how that went. */
  revised: 'a new version, not tried yet',
} as const;
export type ParkReason = (typeof PARK_REASONS)[keyof typeof PARK_REASONS];

/** In place: five attempts within half a minute, so that a blip passes and a slot is not held for long. */
export const DEFAULT_RETRY: RetryPolicy = { attempts: 5, baseMs: 100, capMs: 5_000, factor: 2, withinMs: 30_000 };
/** Of parked messages: eight more over about two hours on average; then it is a dead letter, waiting for a person. */
export const DEFAULT_PARKED_RETRY: RetryPolicy = {
  attempts: 8,
  baseMs: 60_000,
  capMs: 3_600_000,
  factor: 2,
  withinMs: Infinity,
};
/** While the database cannot be reached: in place for a while, then back to the broker. Nothing is counted against the message. */
export const HOLD: RetryPolicy = { attempts: Infinity, baseMs: 200, capMs: 5_000, factor: 2, withinMs: 30_000 };
export const LATER_WHILE_UNAVAILABLE_MS = 5_000;
/** Serialization failures and deadlocks are nobody's fault: run again at once, this often before they count. */
export const FREE_CONFLICTS = 5;
/**
 * Connections that break under a handler are nobody's fault: it runs again this often before they count. What breaks its connection each
 * time, as a statement that crashes its server process, would else end those of all others without end.
 */
export const FREE_CUTS = 5;
/** Another process works on the key just now (a redrive, or a claim that was lost). */
const BUSY_MS = 200;
/** Between looks for a predecessor. */
const PREDECESSOR_POLL_MS = 500;
/** A message without a handler here goes back for this long; longer with its age, so that many of them do not go round and round. */
const HAND_ON_MS = 100;
const HAND_ON_CAP_MS = 5_000;
/** In an ordered queue others may have to wait meanwhile. */
export const HAND_ON_ORDERED_CAP_MS = 500;
/** Deaths of the process during the handling of a message, alone in its process, after which it is parked unread. */
export const CRASHES_TO_PARK = 3;

/** How one attempt to handle a message ended. */
export type AttemptOutcome =
  | { readonly kind: 'handled' }
  | { readonly kind: 'duplicate' }
  /** Parked behind an earlier message of its key, in the same transaction that found that one. */
  | { readonly kind: 'behind' }
  /** Its predecessor is not handled yet; nothing was done. */
  | { readonly kind: 'awaiting' }
  /** Its key or its row is being worked on elsewhere; nothing was done. */
  | { readonly kind: 'busy' }
  /** A redrive found its row gone or taken. */
  | { readonly kind: 'gone' }
  /** A redrive found no handler for it here. */
  | { readonly kind: 'unhandled' }
  | { readonly kind: 'failed'; readonly error: unknown }
  /** An at-most-once handler failed: the message is lost, as was agreed. */
  | { readonly kind: 'lost'; readonly error: unknown }
  | { readonly kind: 'conflict'; readonly error: unknown }
  /** The connection broke under the handler, and all is rolled back; or under COMMIT, and the next attempt finds out. */
  | { readonly kind: 'cut'; readonly error: unknown }
  /** The database (or the window) cannot be reached, so nothing is known and nothing can be recorded. */
  | { readonly kind: 'unavailable'; readonly error: unknown }
  /** The delivery was taken away, or the consumer is stopped hard. */
  | { readonly kind: 'aborted'; readonly error: unknown };

export interface AttemptProgress {
  /** Which attempt this was, from 1 on; conflicts, cuts and holds are not counted. */
  readonly attempt: number;
  /** Since the first attempt began; holds, and what was cut, not included. */
  readonly elapsedMs: number;
  /** Conflicts in a row, this one included. */
  readonly conflicts: number;
  /** Connections that broke in a row, this one included. */
  readonly cuts: number;
  /** Holds in a row before this outcome, and how long they have lasted. */
  readonly holds: number;
  readonly heldMs: number;
  /** How long the predecessor has been waited for, or a process that the message is for. */
  readonly awaitedMs: number;
  readonly stopping: boolean;
}

export interface Policies {
  readonly retry: RetryPolicy;
  readonly parkedRetry: RetryPolicy;
  readonly predecessorWaitMs: number;
  /** How long a message may go back for a process that it is for. */
  readonly handlerWaitMs: number;
  readonly random: () => number;
}

export type NextDecision =
  | { readonly do: 'acknowledge' }
  /**
   * Try again in place. `failed`: a further attempt of the handler; `conflict`, `cut`: the same attempt is made again; `hold`: the
   * database is waited for.
   */
  | { readonly do: 'again'; readonly delayMs: number; readonly because: 'failed' | 'conflict' | 'cut' | 'hold' }
  | { readonly do: 'later'; readonly delayMs: number }
  | { readonly do: 'park'; readonly reason: ParkReason; readonly error: unknown; readonly retryInMs: number | null };

export function decideNext(outcome: AttemptOutcome, progress: AttemptProgress, policies: Policies): NextDecision {
  const { random } = policies;
  switch (outcome.kind) {
    case 'handled':
    case 'duplicate':
    case 'behind':
    case 'gone':
    case 'lost':
      return { do: 'acknowledge' };
    case 'unhandled':
      return { do: 'later', delayMs: HAND_ON_MS };
    case 'aborted':
      return { do: 'later', delayMs: 0 };
    case 'busy':
      return { do: 'later', delayMs: BUSY_MS };
    case 'awaiting':
      return progress.awaitedMs < policies.predecessorWaitMs
        ? { do: 'later', delayMs: PREDECESSOR_POLL_MS }
        : { do: 'park', reason: PARK_REASONS.predecessor, error: null, retryInMs: firstRedriveMs(null, policies) };
    case 'unavailable':
      if (progress.stopping || progress.heldMs >= HOLD.withinMs)
        return { do: 'later', delayMs: LATER_WHILE_UNAVAILABLE_MS };
      return { do: 'again', delayMs: backoffMs(HOLD, progress.holds + 1, random), because: 'hold' };
    case 'conflict':
      if (progress.conflicts <= FREE_CONFLICTS) return { do: 'again', delayMs: 0, because: 'conflict' };
      return afterFailure(outcome.error, progress, policies);
    case 'cut':
      if (progress.cuts <= FREE_CUTS) return afterCut(progress, random);
      return afterFailure(cutEachTime(outcome.error), progress, policies);
    case 'failed':
      // Another process on the same queue may have what this one has not: its replies would be lost here.
      if (isForOthers(outcome) && progress.awaitedMs < policies.handlerWaitMs)
        return { do: 'later', delayMs: handOnMs(progress.awaitedMs, HAND_ON_ORDERED_CAP_MS) };
      return afterFailure(outcome.error, progress, policies);
  }
}

/** A message that this process has nothing to do with, as its handler found out. */
export function isForOthers(outcome: AttemptOutcome): boolean {
  return outcome.kind === 'failed' && isHoldfastError(outcome.error, 'HF_REPLY_STRAY');
}

/** Why a message is parked whose handler failed with this. */
export function parkReasonOf(error: unknown): ParkReason {
  if (isHoldfastError(error, 'HF_REPLY_STRAY')) return PARK_REASONS.noRun;
  return isPermanent(error) ? PARK_REASONS.permanent : PARK_REASONS.gaveUp;
}

function handOnMs(waitedMs: number, capMs: number): number {
  return Math.min(capMs, Math.max(HAND_ON_MS, waitedMs / 2));
}

/** A server that is coming back is waited for as one that is away. */
function afterCut({ cuts, stopping }: AttemptProgress, random: () => number): NextDecision {
  const delayMs = backoffMs(HOLD, cuts, random);
  return stopping ? { do: 'later', delayMs } : { do: 'again', delayMs, because: 'cut' };
}

/** What is kept of a message whose connection breaks each time. */
export function cutEachTime(cause: unknown): HoldfastError {
  return new HoldfastError(
    'HF_HANDLER_CUT',
    'Each time the connection to the database broke under the handler, and all of it was rolled back.',
    {
      cause,
      advice:
        'Look in the log of the server for a process that crashed or ran out of memory, and for what ends sessions that wait; then have the message retried.',
    },
  );
}

function afterFailure(error: unknown, progress: AttemptProgress, policies: Policies): NextDecision {
  const permanent = isPermanent(error) || isNotYetReadable(error);
  const decision = decideRetry(policies.retry, {
    attempt: progress.attempt,
    elapsedMs: progress.elapsedMs,
    permanent,
    random: policies.random,
  });
  if (decision.kind === 'retry') {
    // A stopping process leaves the wait to another one.
    return progress.stopping
      ? { do: 'later', delayMs: decision.delayMs }
      : { do: 'again', delayMs: decision.delayMs, because: 'failed' };
  }
  return {
    do: 'park',
    reason: parkReasonOf(error),
    error,
    retryInMs: firstRedriveMs(error, policies),
  };
}

/** Trying again at once is of no use; the deployment that is under way may bring what reads it. */
function isNotYetReadable(error: unknown): boolean {
  return isHoldfastError(error, 'HF_MESSAGE_VERSION') || isHoldfastError(error, 'HF_PAYLOAD_ENCRYPTED');
}

function firstRedriveMs(error: unknown, { parkedRetry, random }: Policies): number | null {
  return isPermanent(error) ? null : backoffMs(parkedRetry, 1, random);
}

/** What to do with a delivery before anything is tried. */
export type ArrivalDecision =
  | {
      readonly do: 'run';
      /** Came back from a process that died: run it alone, its attempt counted before. */ readonly suspect: boolean;
    }
  /** No handler here; see decideUnhandled. */
  | { readonly do: 'hand on' }
  /** Its signature is not accepted; see decide-refused.ts. */
  | { readonly do: 'refuse'; readonly error: HoldfastError; readonly retryInMs: number | null }
  | { readonly do: 'park'; readonly reason: ParkReason; readonly error: unknown; readonly retryInMs: number | null };

export function decideArrival(facts: {
  readonly decodeError: Error | null;
  readonly hasHandler: boolean;
  readonly redeliveries: number;
  readonly policies: Policies;
}): ArrivalDecision {
  const { decodeError } = facts;
  if (isHoldfastError(decodeError, 'HF_MESSAGE_UNVERIFIED')) {
    return { do: 'refuse', error: decodeError, retryInMs: nextVerificationMs(decodeError, 0, facts.policies) };
  }
  if (decodeError !== null) {
    // A newer wire may be readable after the deployment that is under way; anything else never will be.
    const retryInMs = isHoldfastError(decodeError, 'HF_ENVELOPE_VERSION') ? firstRedriveMs(null, facts.policies) : null;
    return { do: 'park', reason: PARK_REASONS.undecodable, error: decodeError, retryInMs };
  }
  return facts.hasHandler ? { do: 'run', suspect: facts.redeliveries > 0 } : { do: 'hand on' };
}

/**
 * Milliseconds until a refused signature is looked at again; null: not before a person says so. A key that is not known here may come
 * with the deployment that is under way; a signature that is wrong stays so.
 */
export function nextVerificationMs(
  error: HoldfastError,
  redrives: number,
  policies: Pick<Policies, 'parkedRetry' | 'random'>,
): number | null {
  return error.details?.['part'] === 'key' ? nextRedriveMs(redrives, null, policies) : null;
}

export type UnhandledDecision =
  /** Somebody said that messages of this topic need not be read. */
  | { readonly do: 'ignore' }
  /** Back to the broker, for another process that has the handler. */
  | { readonly do: 'return'; readonly delayMs: number }
  /** Nobody took it in time. Parked, it is seen, and taken up by whatever process of this consumer has the handler. */
  | { readonly do: 'park' };

/**
 * What becomes of a message whose topic has no handler in this process. That another process has none either is not known: during
 * a deployment it is usual that the newer ones have one. So it is never acknowledged unread but by a person's word.
 */
export function decideUnhandled(facts: {
  readonly ignored: boolean;
  /** Since it was sent, or since this process knows of it. */
  readonly waitedMs: number;
  readonly handlerWaitMs: number;
  readonly ordered: boolean;
}): UnhandledDecision {
  if (facts.ignored) return { do: 'ignore' };
  if (facts.waitedMs >= facts.handlerWaitMs) return { do: 'park' };
  const capMs = facts.ordered ? HAND_ON_ORDERED_CAP_MS : HAND_ON_CAP_MS;
  return { do: 'return', delayMs: handOnMs(facts.waitedMs, capMs) };
}

/** `attempts` counts the marks of a suspect, the one just made included; each earlier one is a death of the process. */
export function decideSuspect(attempts: number): 'run' | 'park' {
  return attempts > CRASHES_TO_PARK ? 'park' : 'run';
}

/** Where a message of an ordered consumer stands when its mark could not simply be written. */
export interface OrderedFacts {
  readonly locked: boolean;
  readonly handled: boolean;
  /**
   * The first parked message of the key. `awaits`: the id of the predecessor it waits for, if that is what it waits for.
   * `allLater`: everything parked of the key was sent after this message.
   */
  readonly head: { readonly awaits: string | null; readonly allLater: boolean } | null;
  /** null: none is needed. */
  readonly predecessorSeen: boolean | null;
  /** It is parked, and was sent before this message: two that name each other must not wait for each other. */
  readonly predecessorParked: boolean;
}

/** Checked in this order: duplicate, parked messages of the key, predecessor. */
export function decideOrdered(id: string, facts: OrderedFacts): 'enter' | 'duplicate' | 'behind' | 'awaiting' | 'busy' {
  if (!facts.locked) return 'busy';
  if (facts.handled) return 'duplicate';
  if (facts.head !== null) {
    // The message that the first parked one waits for must go first, or both would wait for ever. So must those before it: after a
    // broker has lost messages, a replay brings all that the first one has missed, in order.
    const { awaits, allLater } = facts.head;
    if (awaits !== id && !(awaits !== null && allLater)) return 'behind';
    if (facts.predecessorParked) return 'behind';
  }
  return facts.predecessorSeen === false ? 'awaiting' : 'enter';
}

/**
 * Whether a message need not wait for its predecessor: the mark of one so old may be pruned, or it was the last of its key that was
 * published before this consumer first ran, so that another may have handled it. What lay in the queue by then is this consumer's: its
 * messages have to wait for each other. Without the relay's word for when they were sent, only the time of writing tells, more loosely.
 */
export function predecessorWaived(facts: {
  readonly atMs: number;
  readonly nowMs: number;
  readonly retentionMs: number;
  readonly sinceMs: number;
  /** Whether it was missed before, while its mark could not have been pruned: then it was not handled, and to wait longer changes nothing of that. */
  readonly missed: boolean;
  /** When the relay sent the predecessor, and the message that names it; null: it does not say. */
  readonly sentMs: number | null;
  readonly followedMs: number | null;
}): boolean {
  const marginMs = Math.min(3_600_000, facts.retentionMs / 10);
  const { sentMs, followedMs, sinceMs } = facts;
  const beforeFirstRun =
    sentMs === null || followedMs === null ? facts.atMs < sinceMs : sentMs < sinceMs && followedMs >= sinceMs;
  const forgotten = !facts.missed && facts.atMs < facts.nowMs - (facts.retentionMs - marginMs);
  return beforeFirstRun || forgotten;
}

/** Milliseconds until a parked message is taken up again; null: not before a person says so. */
export function nextRedriveMs(
  redrives: number,
  error: unknown,
  { parkedRetry, random }: Pick<Policies, 'parkedRetry' | 'random'>,
): number | null {
  if (isPermanent(error) || redrives >= parkedRetry.attempts) return null;
  return backoffMs(parkedRetry, redrives + 1, random);
}

/** The longest time the attempts of a policy can be spread over, in milliseconds, handling itself not included. */
export function longestRetryMs(policy: RetryPolicy): number {
  if (policy.attempts === Infinity) return policy.withinMs;
  let totalMs = 0;
  for (let wait = 0; wait < policy.attempts - 1 && totalMs < policy.withinMs; wait += 1)
    totalMs += Math.min(policy.capMs, policy.baseMs * policy.factor ** wait);
  return Math.min(totalMs, policy.withinMs);
}
