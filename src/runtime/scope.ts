/**
 * Whose code runs: the code of a run, a step, a handler. Two things follow from it.
 *
 * A promise that is rejected while nobody awaits it is its owner's to deal with, and does not end the process with everybody else's work
 * in it. And code runs in no async context (AsyncLocalStorage) but its own: one commit serves many runs, and what is begun after it must
 * not see the context of whoever happened to trigger it. The owner is kept in an AsyncLocalStorage, which promises carry along.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

export interface Owner {
  /** A promise made by its code was rejected, and nobody awaited it by the end of the microtasks. Must not throw. */
  stray(error: unknown, promise: Promise<unknown>): void;
  /** Somebody awaits such a promise after all. */
  awaited?(promise: Promise<unknown>): void;
}

const owners = new AsyncLocalStorage<Owner>();
/** Where the module was loaded nothing is under way yet. */
const nowhere = AsyncLocalStorage.snapshot();
const strays = new WeakMap<object, Owner>();

/** Runs `fn` in no async context: for what serves many, and must not be anybody's. */
export function inNoContext<T>(fn: () => T): T {
  return nowhere(fn);
}

/** Runs `fn`, and whatever it leads to, as the owner's code, in no other async context. */
export function inScope<T>(owner: Owner, fn: () => T): T {
  watchRejections();
  return nowhere(() => owners.run(owner, fn));
}

let watching = false;

/**
 * Node asks by `emit` who takes a rejection. It is answered here, and not by a listener: a listener would take away what Node does with
 * the rejections of others, and those of others (`process.on('unhandledRejection', exit)`) would still hear of ours.
 */
function watchRejections(): void {
  if (watching) return;
  watching = true;
  const emit = process.emit.bind(process) as (event: string | symbol, ...args: unknown[]) => boolean;
  const guarded = (event: string | symbol, ...args: unknown[]): boolean => {
    if (event === 'unhandledRejection' && isTaken(args[0], args[1])) return true;
    if (event === 'rejectionHandled' && isAwaited(args[0])) return true;
    return emit(event, ...args);
  };
  process.emit = guarded as typeof process.emit;
}

/** Node has made the context of the promise the current one. */
function isTaken(error: unknown, promise: unknown): boolean {
  const owner = owners.getStore();
  if (owner === undefined || !(promise instanceof Promise)) return false;
  strays.set(promise, owner);
  owner.stray(error, promise);
  return true;
}

function isAwaited(promise: unknown): boolean {
  if (!(promise instanceof Promise)) return false;
  const owner = strays.get(promise);
  if (owner === undefined) return false;
  owner.awaited?.(promise);
  return true;
}
