/**
 * The pace of retention: work that may take its time, beside work that may not wait. It rests after each chunk as long as the chunk took,
 * and comes back the sooner the more there was to do, so that what a busy hour brings goes a little at a time and not all at once.
 */
import type { Clock } from './clock.ts';
import type { Logger } from './log.ts';
import { createLoop, type Loop } from './loop.ts';

/** A chunk that took longer than this is not rested after for longer, in milliseconds. */
const LONGEST_REST_MS = 1_000;

/** Runs chunks until one says that there is no more (resolves with false), or `signal` aborts. */
export async function inPacedChunks(clock: Clock, signal: AbortSignal, chunk: () => Promise<boolean>): Promise<void> {
  while (!signal.aborted) {
    const startedAtMs = clock.monotonic();
    const more = await chunk();
    if (!more) return;
    const restMs = Math.min(clock.monotonic() - startedAtMs, LONGEST_REST_MS);
    if (restMs >= 1) await clock.sleep(restMs, signal);
  }
}

export interface RoundBounds {
  /** Between two rounds, in milliseconds. */
  readonly leastMs: number;
  readonly mostMs: number;
  /** What a round should find: with more it comes back sooner, with less than a quarter later. */
  readonly enough: number;
}

/**
 * How far rounds may lie apart: with a short retention so much less than `mostMs` that what is kept too long is little beside what is kept.
 * Pure.
 */
export function roundsFor(
  retentionMs: number,
  { mostMs, enough }: Pick<RoundBounds, 'mostMs' | 'enough'>,
): RoundBounds {
  return { leastMs: 1_000, mostMs: Math.min(Math.max(retentionMs / 20, 1_000), mostMs), enough };
}

/** How long to wait for the next round, after one that came `lastMs` after the one before and found `amount`. Pure. */
export function nextRoundMs(lastMs: number, amount: number, { leastMs, mostMs, enough }: RoundBounds): number {
  const wantedMs = amount > enough ? (lastMs * enough) / amount : amount < enough / 4 ? lastMs * 2 : lastMs;
  return Math.min(Math.max(wantedMs, leastMs), mostMs);
}

export interface PacedRoundsOptions {
  /** For logs. */
  readonly name: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly bounds: RoundBounds;
  /** Resolves with how much it found, soon after `signal` aborts, which each stop does at once. */
  readonly round: (signal: AbortSignal) => Promise<number>;
  /** As that of a loop. */
  readonly onError: (error: unknown, consecutiveFailures: number) => number;
}

/** A loop of rounds, the sooner the more they find. */
export function createPacedRounds({ name, clock, log, bounds, round, onError }: PacedRoundsOptions): Loop {
  let stopping = new AbortController();
  let waitMs = bounds.mostMs;
  const loop = createLoop({
    name,
    clock,
    log,
    onError,
    async tick() {
      waitMs = nextRoundMs(waitMs, await round(stopping.signal), bounds);
      return waitMs;
    },
  });
  const goOn = (): void => {
    if (stopping.signal.aborted) stopping = new AbortController();
  };
  return {
    tick() {
      goOn();
      return loop.tick();
    },
    wake: () => loop.wake(),
    start() {
      goOn();
      return loop.start();
    },
    stop(options) {
      stopping.abort();
      return loop.stop(options);
    },
  };
}
