/**
 * How large a run may grow, in events and in bytes, and what is said of it while it does. Pure.
 *
 * A limit never destroys: a call beyond it is not begun, and the run is stuck where it can go on with a higher limit, or be cancelled.
 */
import { HoldfastError } from '../../errors.ts';
import type { RecordedError } from './events.ts';
import { recordError } from './recorded-error.ts';

export interface JournalLimits {
  /** Most events of one journal; failed attempts beyond the first few of a call do not count. */
  readonly maxEvents: number;
  /** Most UTF-8 bytes of one journal. */
  readonly maxJournalBytes: number;
}

export const DEFAULT_JOURNAL_LIMITS: JournalLimits = { maxEvents: 10_000, maxJournalBytes: 64 * 1024 * 1024 };

/** More than that and its rows, as one text, come near to what a string of JavaScript can hold (512 Mi characters). */
export const MOST_JOURNAL_BYTES = 256 * 1024 * 1024;
export const LARGEST_READABLE_BYTES = 400 * 1024 * 1024;

/** What a run has in its journal. */
export interface JournalSize {
  readonly events: number;
  readonly bytes: number;
  /** Calls without an outcome: each will be at least one event more. */
  readonly open: number;
}

/** Why calls cannot be made, all of them or none; null when there is room for them and for their outcomes. */
export function refuseCalls(
  run: { readonly id: string; readonly saga: string },
  size: JournalSize,
  calls: { readonly count: number; readonly bytes: number },
  limits: JournalLimits,
): RecordedError | null {
  if (calls.count === 0) return null;
  const events = size.events + size.open + 2 * calls.count;
  const bytes = size.bytes + calls.bytes;
  const made = calls.count === 1 ? 'a call' : `${calls.count} calls at once`;
  if (events > limits.maxEvents)
    return full(
      `The journal of run ${run.id} of ${run.saga} has ${size.events} events, and ${made} with their outcomes would ` +
        `make it ${events}; the limit is ${limits.maxEvents}. None of them was begun.`,
      { events, limit: limits.maxEvents },
    );
  if (bytes > limits.maxJournalBytes)
    return full(
      `The journal of run ${run.id} of ${run.saga} has ${size.bytes} bytes, and ${made} would make it ${bytes}; ` +
        `the limit is ${limits.maxJournalBytes}. None of them was begun.`,
      { bytes, limit: limits.maxJournalBytes },
    );
  return null;
}

function full(what: string, details: Readonly<Record<string, number>>): RecordedError {
  const advice =
    'Start the workers with a higher maxEvents or maxJournalBytes and have it retried, or cancel it. ' +
    'Then split long loops and wide fan-outs into child sagas, and keep large values elsewhere.';
  return recordError(new HoldfastError('HF_JOURNAL_FULL', what, { advice, details }));
}

/** From how much on it is said, in percent of a limit, each once. */
const LEAST_LEVEL = 50;
const LEVELS = [LEAST_LEVEL, 80, 100];

/** How full a journal is, as the highest of those levels that it has reached; 0: below all. */
export function growthOf(size: Pick<JournalSize, 'events' | 'bytes'>, limits: JournalLimits): number {
  const percent = 100 * Math.max(size.events / limits.maxEvents, size.bytes / limits.maxJournalBytes);
  // Asked with each commit, and nearly always so.
  if (percent < LEAST_LEVEL) return 0;
  return LEVELS.findLast((level) => percent >= level) ?? 0;
}

/** UTF-8 bytes of a text; of a short one its length, which is near enough. */
export function bytesOf(text: string | undefined): number {
  if (text === undefined) return 0;
  return text.length < 1_024 ? text.length : Buffer.byteLength(text);
}
