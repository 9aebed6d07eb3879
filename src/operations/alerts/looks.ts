/**
 * Looks, one after the other: at what is shared, if it is this process's turn, and at what it knows only of itself. Never rejects: a
 * database that does not answer is one of the things that are looked for.
 */
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import { classifySqlError } from '../../postgres/sql-state.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/log.ts';
import { withTimeout } from '../../runtime/timeout.ts';
import type { MemoryNotices } from './notice-queue.ts';
import type { ResolvedAlerts } from './options.ts';
import type { OwnWatch } from './own-watch.ts';
import type { AlertRounds } from './alert-rounds.ts';

export interface LooksOptions {
  readonly rounds: AlertRounds;
  readonly own: OwnWatch;
  /** Takes what this process alone knows. */
  readonly memory: MemoryNotices;
  readonly settings: ResolvedAlerts;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  /** A worker that is being stopped has no lease either. */
  readonly isStopping: () => boolean;
}

export interface LookResult {
  /** It was this process's turn, so it is its turn to tell as well. */
  readonly mine: boolean;
  readonly waitMs: number;
}

/** A look that takes longer has no answer. */
const LOOK_MS = 10_000;
/** Between looks of a role that may not look at all. */
const REFUSED_MS = 10 * 60_000;

export function createLooks(options: LooksOptions): () => Promise<LookResult> {
  const { rounds, own, memory, settings, clock, random, log, isStopping } = options;
  const complain = complainOnce(log);
  // Of durations by a clock that does not jump, of dates by that of people.
  const offsetMs = clock.now() - clock.monotonic();
  /** One that has not come to an end is waited for; a second beside it would have no answer either. */
  let looking: Promise<boolean> | null = null;

  function begin(): Promise<boolean> {
    const begun = rounds.look();
    looking = begun;
    const over = (): void => void (looking = null);
    begun.then(over, over);
    return begun;
  }

  return async () => {
    let mine = false;
    let silent = false;
    let waitMs = settings.intervalMs * (0.9 + random() * 0.2);
    try {
      const onTimeout = (): Error =>
        new HoldfastError('HF_DATABASE_UNAVAILABLE', `The database did not answer within ${LOOK_MS} ms.`);
      mine = await withTimeout(() => looking ?? begin(), { timeoutMs: LOOK_MS, clock, onTimeout });
    } catch (error) {
      silent = ['connection', 'busy'].includes(classifySqlError(error));
      if (!silent) complain(error);
      if (isHoldfastError(error, 'HF_PERMISSION')) waitMs = REFUSED_MS;
    }
    if (!isStopping()) for (const notice of own.look(silent, offsetMs + clock.monotonic())) memory.add(notice);
    return { mine, waitMs };
  };
}

/** What does not pass by itself is said once for each cause, and not with each look. */
function complainOnce(log: Logger): (error: unknown) => void {
  const said = new Set<string>();
  return (error) => {
    const cause = isHoldfastError(error) ? error.code : error instanceof Error ? error.name : 'thrown';
    if (said.has(cause)) return;
    said.add(cause);
    log.error({ err: error }, 'alerts cannot be watched for');
  };
}
