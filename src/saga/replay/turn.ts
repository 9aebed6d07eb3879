/**
 * Turns of the event loop: how the engine knows that code which awaits nothing but its steps has done all it does for now.
 */
// By name, so that a test's fake timers, which replace the globals, do not stop what is to move them.
import { clearTimeout, setImmediate, setTimeout } from 'node:timers';
import { nextTick } from 'node:process';
import { HoldfastError } from '../../errors.ts';
import { inNoContext } from '../../runtime/scope.ts';

/** What one worker does for all its runs is done in nobody's async context, whoever has started a run just now. */
export function nextTurn(act: () => Promise<void>): Promise<void> {
  return inNoContext(() => turn().then(act));
}

/** Resolves when everything that can go on by microtasks has gone on. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * The same without a turn of the event loop, which costs ten times as much. What the code has put off by nextTick may come after it, and
 * so do rejections that nobody awaits; and nobody else is served meanwhile.
 */
export function quickTurn(): Promise<void> {
  return new Promise((resolve) => queueMicrotask(() => nextTick(resolve)));
}

/** Between two looks at what others are busy with, in milliseconds. */
const LOOK_EVERY_MS = 2;

/** A short while. */
export function moment(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
}

/** A short while, ended early by the signal. */
export function momentOrAbort(signal: AbortSignal): Promise<void> {
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

/** How long a schema, or what makes a message, may take before its run is put off, in milliseconds: all others wait meanwhile. */
const PATIENCE_MS = 5_000;

/** Settles as the promise does, or rejects when that takes too long. */
export function inTime<T>(promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(
        new HoldfastError('HF_STEP_TIMEOUT', `A schema, or what makes a message, took over ${PATIENCE_MS} ms.`, {
          advice: 'Look nothing up in a schema: every run of the worker waits for it. Do that in a step.',
        }),
      );
    }, PATIENCE_MS);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
