/**
 * A signal that aborts after a time. In place of `AbortSignal.timeout`, which never aborts what `AbortSignal.any` has made of it once the
 * garbage collector has run (seen on Node 20): only the composite holds on to it, and weakly. Whoever waits for that waits for ever.
 */

/** Aborts after `delayMs` milliseconds, with a TimeoutError. Keeps no process alive. */
export function timeLimit(delayMs: number): AbortSignal {
  const controller = new AbortController();
  // The timer holds the controller, and so the signal.
  setTimeout(
    () => controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError')),
    delayMs,
  ).unref();
  return controller.signal;
}
