/**
 * What the tests of a service may put in place of time, chance and the crash points, in whatever Holdfast makes. It is no part of the
 * options of production, so that nobody sets it there.
 */
import type { Clock } from '../runtime/clock.ts';
import type { CrashPoint } from '../runtime/crash-point.ts';
import { refuseUnknownOptions } from '../runtime/options.ts';

/** What {@link withSeams} puts in place. */
export interface Seams {
  /** @defaultValue the system's */
  readonly clock?: Clock | undefined;
  /**
   * Gives numbers in [0, 1), for the jitter of waits.
   *
   * @defaultValue Math.random
   */
  readonly random?: (() => number) | undefined;
  /**
   * Called at each named place around I/O; may throw, or end the process. See {@link SAGA_CRASH_POINTS}, {@link REPLY_CRASH_POINTS},
   * {@link INBOX_CRASH_POINTS} and {@link BATCH_CRASH_POINTS}.
   */
  readonly crashPoint?: CrashPoint | undefined;
}

/**
 * Options with seams: pass what it returns to the constructor that the options are for. One that has no such seam refuses it
 * (HF_OPTION_UNKNOWN).
 *
 * @throws HoldfastError HF_OPTION_UNKNOWN for what is no seam
 * @example
 * const clock = createManualClock();
 * const window = createMemoryWindow(withSeams({ ttl: '1h' }, { clock }));
 * await window.mark('billing', 'a');
 * await clock.advance('2h');
 * console.log(await window.seen('billing', 'a')); // false
 */
export function withSeams<const Options extends object>(options: Options, seams: Seams): Options {
  refuseUnknownOptions(seams, ['clock', 'random', 'crashPoint'], 'withSeams');
  return { ...options, ...seams };
}
