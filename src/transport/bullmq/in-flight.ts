/**
 * The deliveries of a receiver that have no verdict yet. Each has a claim: the time until which the broker keeps the message for this
 * receiver.
 */

export interface InFlightDelivery {
  readonly controller: AbortController;
  /** Lets go of the message without a verdict. */
  abandon: () => void;
  /** Nothing more may be done about the message from here. */
  lost: boolean;
  /** Monotonic milliseconds at which the broker may give the message to somebody else. */
  claimedUntilMs: number;
}

export class InFlightDeliveries {
  readonly #lockDurationMs: number;
  /** Those that the broker means when it names a job: of each the one that was handed out last. */
  readonly #byId = new Map<string, InFlightDelivery>();
  /** Beside these, those whose job was handed out again meanwhile: they are over for the broker, and not for us. */
  readonly #all = new Set<InFlightDelivery>();
  readonly #drained = new AbortController();
  #draining = false;

  constructor(lockDurationMs: number) {
    this.#lockDurationMs = lockDurationMs;
  }

  /** Aborts when `drain` was called and nothing is in flight any more. */
  get drained(): AbortSignal {
    return this.#drained.signal;
  }

  /** @param id of the queue and the job */
  add(id: string): InFlightDelivery {
    const delivery: InFlightDelivery = {
      controller: new AbortController(),
      abandon: () => {},
      lost: false,
      claimedUntilMs: performance.now() + this.#lockDurationMs,
    };
    lose(this.#byId.get(id), 'the broker handed the message out again');
    this.#byId.set(id, delivery);
    this.#all.add(delivery);
    return delivery;
  }

  remove(id: string, delivery: InFlightDelivery): void {
    this.#all.delete(delivery);
    if (this.#byId.get(id) === delivery) this.#byId.delete(id);
    this.#checkDrained();
  }

  drain(): void {
    this.#draining = true;
    this.#checkDrained();
  }

  /** The broker has given these jobs to somebody else. */
  lose(queue: string, jobIds: readonly string[]): void {
    for (const id of jobIds) lose(this.#byId.get(`${queue}:${id}`), 'the broker gave the message to somebody else');
  }

  renew(queue: string, jobIds: readonly string[]): void {
    const claimedUntilMs = performance.now() + this.#lockDurationMs;
    for (const id of jobIds) {
      const delivery = this.#byId.get(`${queue}:${id}`);
      if (delivery !== undefined) delivery.claimedUntilMs = claimedUntilMs;
    }
  }

  /** A broker that cannot be reached does not say that a claim has run out. */
  loseExpired(): void {
    const nowMs = performance.now();
    for (const delivery of this.#all)
      if (delivery.claimedUntilMs < nowMs) lose(delivery, 'the claim on the message ran out');
  }

  abortAll(why: string): void {
    for (const { controller } of this.#all) controller.abort(new Error(why));
  }

  abandonAll(): void {
    for (const delivery of this.#all) {
      delivery.lost = true;
      delivery.abandon();
    }
  }

  #checkDrained(): void {
    if (this.#draining && this.#all.size === 0) this.#drained.abort();
  }
}

function lose(delivery: InFlightDelivery | undefined, why: string): void {
  if (delivery === undefined) return;
  delivery.lost = true;
  delivery.controller.abort(new Error(why));
}
