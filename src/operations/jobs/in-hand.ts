/**
 * What a job comes back to: those that were in somebody's hands when it came to them, a handler's, a worker's or a relay's. They stand in the
 * row of the job, and count as passed over until they are dealt with, so whoever ends the job at whatever moment has told of them. Pure.
 */
import { type JobExample, type JobPosition } from './job.ts';
import type { ActedOn, Picked } from './job-work.ts';

/** One that the job comes back to. */
export interface HeldSubject {
  readonly subject: string;
  readonly position: JobPosition;
}

/** What says that it is in somebody's hands. */
export const IN_HAND = 'HF_LOCK_WAIT';

/** Kept in the row of a job. Further ones are passed over for good. */
export const MOST_IN_HAND = 1_000;

/**
 * Before each time that a job comes back, in milliseconds: half a minute together, which is as long as a handler may take unless it was given
 * more. Each is shorter than the lease of the job.
 */
const COME_BACK_AFTER_MS: readonly number[] = [1_000, 2_000, 4_000, 8_000, 15_000];

/** For so long a job comes back, at most, in milliseconds: where many are locked, it waits a moment for each. */
const COME_BACK_FOR_MS = 60_000;

/** How long to wait before it comes back once more, in milliseconds; null: it has done so often enough. `forMs`: since it first did. */
export function comeBackAfterMs(times: number, forMs: number): number | null {
  return forMs < COME_BACK_FOR_MS ? (COME_BACK_AFTER_MS[times] ?? null) : null;
}

/** With those of these that turned out to be in somebody's hands. */
export function withInHand(
  before: readonly HeldSubject[],
  picked: readonly Picked[],
  passedOver: readonly JobExample[],
): readonly HeldSubject[] {
  const held = new Set(passedOver.filter(({ code }) => code === IN_HAND).map(({ subject }) => subject));
  const more = picked.filter(({ subject }) => held.has(subject));
  return [...before, ...more.map(({ subject, position }) => ({ subject, position }))].slice(0, MOST_IN_HAND);
}

/** The next of them that were not tried since the job came back, all of one place. */
export function nextInHand(
  inHand: readonly HeldSubject[],
  tried: ReadonlySet<string>,
  limit: number,
): readonly HeldSubject[] {
  const left = inHand.filter(({ subject }) => !tried.has(subject));
  const [first] = left;
  if (first === undefined) return [];
  const { part, where } = first.position;
  return left.filter(({ position }) => position.part === part && position.where === where).slice(0, limit);
}

/** What coming back changes in the figures of a job. */
export interface CameBack {
  readonly inHand: readonly HeldSubject[];
  readonly done: number;
  /** To be added; what was in somebody's hands and is not any more is taken away. */
  readonly passedOver: Readonly<Record<string, number>>;
  /** Told of those that are new to it. */
  readonly examples: readonly JobExample[];
  /** What was told of these before holds no longer. */
  readonly settled: readonly string[];
}

/** `asked`: those it came back to; `picked`: those of them that are there and still fit; `acted`: what became of these. */
export function cameBack(
  inHand: readonly HeldSubject[],
  asked: readonly HeldSubject[],
  picked: readonly Picked[],
  acted: ActedOn,
): CameBack {
  const there = new Set(picked.map(({ subject }) => subject));
  const gone = asked.filter(({ subject }) => !there.has(subject)).map(({ subject }) => wentOn(subject));
  const held = new Set(acted.passedOver.filter(({ code }) => code === IN_HAND).map(({ subject }) => subject));
  const others = [...gone, ...acted.passedOver.filter(({ code }) => code !== IN_HAND)];
  const settled = new Set(asked.filter(({ subject }) => !held.has(subject)).map(({ subject }) => subject));
  return {
    inHand: inHand.filter(({ subject }) => !settled.has(subject)),
    done: acted.done,
    passedOver: { ...countsOf(others), ...(settled.size === 0 ? {} : { [IN_HAND]: -settled.size }) },
    examples: others,
    settled: [...settled],
  };
}

/** Whoever had it has dealt with it, or it does not fit any more. */
function wentOn(subject: string): JobExample {
  return { subject, code: 'HF_NOT_FOUND', message: 'Whoever had it has dealt with it.' };
}

/** By code. */
export function countsOf(examples: readonly JobExample[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { code } of examples) counts[code ?? 'other'] = (counts[code ?? 'other'] ?? 0) + 1;
  return counts;
}
