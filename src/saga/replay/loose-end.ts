/**
 * Promises that are given to the code of a run. Code that does not await one must not end the process when it is rejected.
 */

/** A promise that the code may never await: its rejection is not reported as unhandled. */
export function looseEnd<T>(promise: Promise<T>): Promise<T> {
  promise.catch(nothing);
  return promise;
}

/** Of a call that is not made. */
export function refusedCall(error: Error): Promise<never> {
  return looseEnd(Promise.reject(error));
}

function nothing(): void {}
