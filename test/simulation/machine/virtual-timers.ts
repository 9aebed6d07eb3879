/**
 * Takes the place of `node:timers` while a simulation runs: what the code of production puts off by `setImmediate` or `setTimeout` goes to
 * the scheduler of the simulation. That code imports both by name from there, so nothing of it is changed for this.
 */
import { syncBuiltinESMExports } from 'node:module';
import timers from 'node:timers';

/** Who is asked instead. */
export interface TimerHost {
  immediate(act: () => void): void;
  /** Returns what takes it back. */
  timeout(act: () => void, delayMs: number): () => void;
}

const real = { ...timers };

/** Resolves when everything that can go on by microtasks and `nextTick` has gone on. */
export function realTurn(): Promise<void> {
  return new Promise((resolve) => real.setImmediate(resolve));
}

/** Until the function it returns is called. */
export function takeTimers(host: TimerHost): () => void {
  const virtual = {
    setImmediate: (act: () => void) => host.immediate(act),
    setTimeout: (act: () => void, delayMs = 0) => host.timeout(act, delayMs),
    clearTimeout(handle: unknown) {
      if (typeof handle === 'function') (handle as () => void)();
    },
  };
  Object.assign(timers, virtual);
  syncBuiltinESMExports();
  return () => {
    const { setImmediate, setTimeout, clearTimeout } = real;
    Object.assign(timers, { setImmediate, setTimeout, clearTimeout });
    syncBuiltinESMExports();
  };
}
