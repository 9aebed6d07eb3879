/**
 * A bounded number of slots, given in the order in which they were asked for.
 */

export interface Semaphore {
  /** Takes a slot that is free now: what frees it again. Undefined where there is none. For those to whom a promise is one too many. */
  take(): (() => void) | undefined;
  /** Resolves with what frees the slot again, or with undefined when `signal` aborts first. */
  acquire(signal: AbortSignal): Promise<(() => void) | undefined>;
  /** Runs `act` in a slot, which is free again when it has ended, well or badly. */
  run<T>(act: () => Promise<T>): Promise<T>;
}

/** `more`: how many slots there are beside these just now; looked at whenever one is asked for or given back. */
export function createSemaphore(slots: number, more: () => number = none): Semaphore {
  let taken = 0;
  const waiting = new Set<() => void>();
  const isFree = (): boolean => taken < slots || taken < slots + more();
  function release(): void {
    taken -= 1;
    // Those that wait take their slots before this returns, so nobody who comes later gets in between.
    for (const next of waiting) {
      if (!isFree()) return;
      next();
    }
  }
  return {
    take() {
      if (waiting.size > 0 || !isFree()) return undefined;
      taken += 1;
      return release;
    },
    acquire(signal) {
      return new Promise((resolve) => {
        const settle = (): void => {
          waiting.delete(settle);
          signal.removeEventListener('abort', settle);
          if (signal.aborted) return resolve(undefined);
          taken += 1;
          resolve(release);
        };
        if (isFree() || signal.aborted) return settle();
        waiting.add(settle);
        signal.addEventListener('abort', settle);
      });
    },
    async run(act) {
      if (isFree()) taken += 1;
      else
        await new Promise<void>((resolve) => {
          const settle = (): void => {
            waiting.delete(settle);
            taken += 1;
            resolve();
          };
          waiting.add(settle);
        });
      try {
        return await act();
      } finally {
        release();
      }
    },
  };
}

function none(): number {
  return 0;
}
