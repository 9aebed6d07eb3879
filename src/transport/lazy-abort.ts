/**
 * What aborts a handler: an AbortController that is made when somebody asks for its signal, or aborts it. There is one for each message, and
 * most are over before either happens.
 */
import type { Delivery } from './port.ts';

export interface Abortable {
  readonly signal: AbortSignal;
  abort(reason: Error): void;
}

export class LazyAbort implements Abortable {
  #controller: AbortController | undefined;

  get signal(): AbortSignal {
    return this.#made().signal;
  }

  abort(reason: Error): void {
    this.#made().abort(reason);
  }

  #made(): AbortController {
    this.#controller ??= new AbortController();
    return this.#controller;
  }
}

/** A delivery to a handler that `controller` aborts. A class, for an object with a getter of its own is much more work to make. */
export class AbortableDelivery implements Delivery {
  readonly wire: unknown;
  readonly redeliveries: number;
  readonly #controller: Abortable;

  constructor(wire: unknown, redeliveries: number, controller: Abortable) {
    this.wire = wire;
    this.redeliveries = redeliveries;
    this.#controller = controller;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }
}
