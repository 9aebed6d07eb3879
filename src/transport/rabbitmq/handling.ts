/**
 * What handlers have of the messages of one channel. Each comes to its end by a verdict, with its channel, or when a stop lets go of it,
 * whatever is first. There is one for each message, so it listens to nothing: it is told.
 */
import { AbortableDelivery, LazyAbort } from '../lazy-abort.ts';
import type { OpenDeliveries, OpenDelivery } from '../open-deliveries.ts';
import type { Delivery, Verdict } from '../port.ts';
import { safeVerdict } from '../safe-verdict.ts';

export interface HandlingParts {
  readonly handle: (delivery: Delivery) => Promise<Verdict>;
  /** Of all channels of the receiver. */
  readonly handedOut: OpenDeliveries;
  readonly onError: (error: Error) => void;
}

export class Handling {
  readonly #parts: HandlingParts;
  readonly #open = new Set<OpenDelivery>();

  constructor(parts: HandlingParts) {
    this.#parts = parts;
  }

  /** What the handler says; 'none' where it was not waited for. Never rejects. */
  verdictOn({ wire, redeliveries }: Pick<Delivery, 'wire' | 'redeliveries'>): Promise<Verdict | 'none'> {
    const { handle, handedOut, onError } = this.#parts;
    return new Promise((resolve) => {
      const controller = new LazyAbort();
      const end = (verdict: Verdict | 'none'): void => {
        if (!handedOut.letGo(open)) return;
        this.#open.delete(open);
        resolve(verdict);
      };
      const open: OpenDelivery = { controller, abandon: () => end('none') };
      this.#open.add(open);
      handedOut.hold(open);
      void safeVerdict(handle, new AbortableDelivery(wire, redeliveries, controller), onError).then(end);
    });
  }

  /** The channel is gone, and the messages are the broker's again. */
  loseAll(reason: Error): void {
    for (const open of this.#open) {
      open.controller.abort(reason);
      open.abandon();
    }
  }
}
