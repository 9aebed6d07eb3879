/** Some seeds, one after the other, and what is said of those that break a promise. */
import { describeFailure } from './failing-seed.ts';
import { watchSeeds } from './mistakes/watchdog.ts';
import { simulate } from './world.ts';

export interface SeedsOptions {
  readonly first: number;
  readonly count: number;
  /** All that happens is printed. */
  readonly trace: boolean;
  /** No further than the first seed that breaks a promise, which is not shrunk, or that does not end. */
  readonly untilBroken: boolean;
  /** Takes lines. */
  readonly print: (text: string) => void;
}

/** What came of some seeds. */
export interface Tally {
  readonly seeds: number;
  readonly broken: number;
  readonly events: number;
  readonly simulatedMs: number;
}

/** That many failing seeds are shown; with more, it is most likely one mistake. */
const MOST_SHOWN = 3;

export async function trySeeds({ first, count, trace, untilBroken, print }: SeedsOptions): Promise<Tally> {
  const tally = { seeds: 0, broken: 0, events: 0, simulatedMs: 0 };
  const watchdog = untilBroken ? watchSeeds() : null;
  for (let seed = first; seed < first + count; seed += 1) {
    watchdog?.begins(seed);
    // One after the other: each takes the place of the timers of the process.
    // oxlint-disable-next-line no-await-in-loop
    const result = await simulate({ seed, trace });
    tally.seeds += 1;
    tally.events += result.events;
    tally.simulatedMs += result.elapsedMs;
    for (const line of result.lines) print(line);
    if (result.breaches.length === 0) continue;
    tally.broken += 1;
    const short = `seed ${seed}: ${result.breaches.join('; ')}`;
    // oxlint-disable-next-line no-await-in-loop
    print(untilBroken || tally.broken > MOST_SHOWN ? short : await describeFailure(result));
    if (untilBroken) break;
  }
  return tally;
}
