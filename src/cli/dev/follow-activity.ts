/**
 * Reads again and again what has happened in the database, for as long as `holdfast dev` runs. It takes no more than a small share of the
 * database's time, however large the tables are.
 */
import { activityBegins, readActivity } from '../../operations/activity/read-activity.ts';
import type { Database } from '../../postgres/database.ts';
import { systemClock } from '../../runtime/clock.ts';
import { ActivityLines, type ActivityLine } from './activity-lines.ts';

export interface ActivityHooks {
  readonly onLine: (line: ActivityLine) => void;
  /** The tables are too large to be looked through; told once. */
  readonly onTooMuch: () => void;
}

const LOOK_EVERY_MS = 250;
/** A look is followed by a pause of so many times its own length. */
const PAUSE_FACTOR = 9;
const LONGEST_PAUSE_MS = 30_000;
const AFTER_FAILURE_MS = 2_000;

/** Resolves when it has been told to end. Never rejects: a database that is away is somebody else's news. */
export async function followActivity(
  database: Database,
  { onLine, onTooMuch }: ActivityHooks,
  signal: AbortSignal,
): Promise<void> {
  let lines: ActivityLines | null = null;
  let isTooMuch = false;
  while (!signal.aborted) {
    const beganMs = systemClock.monotonic();
    let pauseMs = LOOK_EVERY_MS;
    try {
      if (lines === null) {
        // One look after the other.
        // oxlint-disable-next-line no-await-in-loop
        const begins = await activityBegins(database);
        if (begins !== null) lines = new ActivityLines(begins);
      } else {
        // oxlint-disable-next-line no-await-in-loop
        const rows = await readActivity(database, lines.place);
        if (rows !== null) for (const line of lines.take(rows)) onLine(line);
        else if (!isTooMuch) {
          isTooMuch = true;
          onTooMuch();
        }
      }
      const tookMs = systemClock.monotonic() - beganMs;
      pauseMs = Math.max(LOOK_EVERY_MS, Math.min(LONGEST_PAUSE_MS, tookMs * PAUSE_FACTOR));
    } catch {
      pauseMs = AFTER_FAILURE_MS;
    }
    // oxlint-disable-next-line no-await-in-loop
    await systemClock.sleep(pauseMs, signal);
  }
}
