/**
 * Turns of the event loop: how the engine knows that code which awaits nothing but its steps has done all it does for now.
 */

/** Resolves when everything that can go on by microtasks has gone on. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** How often a stop looks whether everything has left, in milliseconds. */
const LOOK_EVERY_MS = 2;

/** A short while, ended early by the signal. */
export function turnOrAbort(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, LOOK_EVERY_MS);
    signal.addEventListener('abort', done);
  });
}
