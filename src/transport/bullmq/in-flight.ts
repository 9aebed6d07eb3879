/**
 * The deliveries of a receiver that have no verdict yet. Each has a claim: the time until which the broker keeps the message for this
 * receiver.
 */
import { LazyAbort } from '../lazy-abort.ts';
import { OpenDeliveries, type OpenDelivery } from '../open-deliveries.ts';

export interface InFlightDelivery extends OpenDelivery {
  abandon: () => void;
  /** Nothing more may be done about the message from here. */
  lost: boolean;
  /** Monotonic milliseconds at which the broker may give the message to somebody else. */
  claimedUntilMs: number;
}

/** Also those whose job was handed out again meanwhile: they are over for the broker, and not for us. */
export class InFlightDeliveries extends OpenDeliveries<InFlightDelivery> {
  readonly #lockDurationMs: number;
  /** Those that the broker means when it names a job: of each the one that was handed out last. */
  readonly #byId = new Map<string, InFlightDelivery>();

  constructor(lockDurationMs: number) {
    super();
    this.#lockDurationMs = lockDurationMs;
  }

  /** @param id of the queue and the job */
  add(id: string): InFlightDelivery {
    const delivery: InFlightDelivery = {
      controller: new LazyAbort(),
      abandon: () => {},
      lost: false,
      claimedUntilMs: performance.now() + this.#lockDurationMs,
    };
    lose(this.#byId.get(id), 'the broker handed the message out again');
    this.#byId.set(id, delivery);
    this.hold(delivery);
    return delivery;
  }

  remove(id: string, delivery: InFlightDelivery): void {
    if (this.#byId.get(id) === delivery) this.#byId.delete(id);
    this.letGo(delivery);
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
    for (const delivery of this)
      if (delivery.claimedUntilMs < nowMs) lose(delivery, 'the claim on the message ran out');
  }

  override abandonAll(): void {
    for (const delivery of this) delivery.lost = true;
    super.abandonAll();
  }
}

function lose(delivery: InFlightDelivery | undefined, why: string): void {
  if (delivery === undefined) return;
  delivery.lost = true;
  delivery.controller.abort(new Error(why));
}
