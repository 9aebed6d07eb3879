/**
 * Decides what becomes of a parked message after its handler has been run again. Pure.
 */
import {
  cutEachTime,
  FREE_CUTS,
  LATER_WHILE_UNAVAILABLE_MS,
  nextRedriveMs,
  PARK_REASONS,
  parkReasonOf,
  type AttemptOutcome,
  type ParkReason,
  type Policies,
} from './decide.ts';

/** What becomes of a parked row after an attempt to run it. */
export type RedriveDecision =
  | { readonly do: 'nothing' }
  /** Not its fault: give the attempt back. */
  | { readonly do: 'postpone'; readonly delayMs: number }
  /** Not for this process: left to one that has the handler, and the attempt given back. */
  | { readonly do: 'hand on' }
  | { readonly do: 'keep'; readonly reason: ParkReason; readonly error: unknown; readonly retryInMs: number | null };

/** `redrives` and `cuts`, those in a row, count this one. */
export function decideAfterRedrive(
  outcome: AttemptOutcome,
  { redrives, cuts }: { readonly redrives: number; readonly cuts: number },
  policies: Pick<Policies, 'parkedRetry' | 'random'>,
): RedriveDecision {
  switch (outcome.kind) {
    case 'handled':
    case 'duplicate':
    case 'behind':
    case 'gone':
    case 'lost':
      return { do: 'nothing' };
    case 'unhandled':
      return { do: 'hand on' };
    case 'busy':
    case 'conflict':
      return { do: 'postpone', delayMs: 1_000 };
    case 'aborted':
      return { do: 'postpone', delayMs: 0 };
    case 'unavailable':
      return { do: 'postpone', delayMs: LATER_WHILE_UNAVAILABLE_MS };
    case 'cut':
      if (cuts <= FREE_CUTS) return { do: 'postpone', delayMs: LATER_WHILE_UNAVAILABLE_MS };
      return keptFailed(cutEachTime(outcome.error), redrives, policies);
    case 'awaiting':
      return {
        do: 'keep',
        reason: PARK_REASONS.predecessor,
        error: null,
        retryInMs: nextRedriveMs(redrives, null, policies),
      };
    case 'failed':
      return keptFailed(outcome.error, redrives, policies);
  }
}

function keptFailed(
  error: unknown,
  redrives: number,
  policies: Pick<Policies, 'parkedRetry' | 'random'>,
): RedriveDecision {
  return { do: 'keep', reason: parkReasonOf(error), error, retryInMs: nextRedriveMs(redrives, error, policies) };
}
