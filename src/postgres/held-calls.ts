/**
 * Calls of `client.query` that wait for the connection: sent later, in their order, and answered to whoever made them as if they had been
 * sent at once.
 */
import { callbackOf, isSubmittable, refuseCall } from './query-call.ts';

interface HeldCall {
  readonly given: readonly unknown[];
  readonly send: () => void;
  readonly refuse: (error: Error) => void;
}

export class HeldCalls {
  readonly #send: (...given: readonly unknown[]) => unknown;
  readonly #calls: HeldCall[] = [];

  constructor(send: (...given: readonly unknown[]) => unknown) {
    this.#send = send;
  }

  /** Returns what the driver's `query` would. */
  add(given: readonly unknown[]): unknown {
    const [first] = given;
    if (isSubmittable(first)) {
      this.#calls.push({ given, send: () => void this.#send(...given), refuse: (error) => fail(first, error) });
      return first;
    }
    if (callbackOf(given) !== null) {
      this.#calls.push({
        given,
        send: () => void this.#send(...given),
        refuse: (error) => void refuseCall(given, error),
      });
      return undefined;
    }
    return new Promise((resolve, reject) => {
      this.#calls.push({ given, send: () => resolve(this.#send(...given)), refuse: reject });
    });
  }

  send(): void {
    for (const call of this.#calls.splice(0)) call.send();
  }

  /** Returns whether there were any. */
  refuse(error: Error): boolean {
    const calls = this.#calls.splice(0);
    for (const call of calls) call.refuse(error);
    return calls.length > 0;
  }
}

/** Whoever reads from a cursor is told by it, if it listens already. */
function fail(statement: unknown, error: Error): void {
  const { handleError } = statement as { readonly handleError?: unknown };
  if (typeof handleError !== 'function') return;
  try {
    handleError.call(statement, error);
  } catch {
    // It has no connection yet that it could tell.
  }
}
