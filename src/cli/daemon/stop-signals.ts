/**
 * From SIGTERM to the end: the first signal asks for a soft stop and starts the deadline, after which the stop is hard; a second
 * signal ends the process at once. The end of the npx that started it counts as a signal.
 */
import type { Clock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/log.ts';
import { watchParent } from './lost-parent.ts';

export interface StopSignals {
  /** Aborted by the first signal. */
  readonly soft: AbortSignal;
  /** Aborted at the deadline. */
  readonly hard: AbortSignal;
  /** Stops listening. */
  dispose(): void;
}

export interface StopSignalsOptions {
  readonly deadlineMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** Ends the process; called at the second signal. */
  readonly onSecond: () => void;
}

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

export function listenForStop({ deadlineMs, clock, log, onSecond }: StopSignalsOptions): StopSignals {
  const soft = new AbortController();
  const hard = new AbortController();
  const over = new AbortController();

  const onSignal = (signal: NodeJS.Signals): void => {
    if (soft.signal.aborted) {
      log.warn({ signal }, 'second signal: ending at once, work in flight is left to the next relay');
      onSecond();
      return;
    }
    log.info({ signal, deadlineMs }, 'stopping: finishing what is in flight; once more to force it');
    stopSoon();
  };
  const stopSoon = (): void => {
    soft.abort();
    void clock.sleep(deadlineMs, over.signal).then(() => {
      if (over.signal.aborted) return;
      log.warn({ deadlineMs }, 'the deadline has passed: work in flight is cut off');
      hard.abort();
    });
  };

  for (const signal of SIGNALS) process.on(signal, onSignal);
  const unwatch = watchParent(() => {
    if (soft.signal.aborted) return;
    log.warn({ deadlineMs }, 'what started this process (npx, npm) has ended: stopping, as if told to');
    stopSoon();
  });
  return {
    soft: soft.signal,
    hard: hard.signal,
    dispose() {
      over.abort();
      unwatch();
      for (const signal of SIGNALS) process.off(signal, onSignal);
    },
  };
}
