/**
 * A bounded number of slots, given in the order they were asked for.
 */

export interface Semaphore {
  /** Resolves with what frees the slot again, or with undefined when `signal` aborts first. */
  acquire(signal: AbortSignal): Promise<(() => void) | undefined>;
}

export function createSemaphore(slots: number): Semaphore {
  let free = slots;
  const waiting = new Set<() => void>();
  function release(): void {
    free += 1;
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
  };
}
