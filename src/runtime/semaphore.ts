/**
 * A bounded number of slots, given in the order in which they were asked for.
 */

export interface Semaphore {
  /** Resolves with what frees the slot again, or with undefined when `signal` aborts first. */
  acquire(signal: AbortSignal): Promise<(() => void) | undefined>;
  /** Runs `act` in a slot, which is free again when it has ended, well or badly. */
  run<T>(act: () => Promise<T>): Promise<T>;
}

export function createSemaphore(slots: number): Semaphore {
  let free = slots;
  const waiting = new Set<() => void>();
  function release(): void {
    free += 1;
    // The first that waits takes the slot before this returns, so nobody who comes later gets in between.
    const [next] = waiting;
    next?.();
  }
  return {
    acquire(signal) {
      return new Promise((resolve) => {
        const settle = (): void => {
          waiting.delete(settle);
          signal.removeEventListener('abort', settle);
          if (signal.aborted) return resolve(undefined);
          free -= 1;
          resolve(release);
        };
        if (free > 0 || signal.aborted) return settle();
        waiting.add(settle);
        signal.addEventListener('abort', settle);
      });
    },
    async run(act) {
      if (free > 0) free -= 1;
      else
        await new Promise<void>((resolve) => {
          const settle = (): void => {
            waiting.delete(settle);
            free -= 1;
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
