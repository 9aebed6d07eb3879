/**
 * The deliveries of a partition that have no verdict yet.
 */
import { AbortableDelivery, LazyAbort } from '../lazy-abort.ts';
import type { Delivery, Verdict } from '../port.ts';
import { rejectedVerdict } from '../safe-verdict.ts';
import type { StreamEntry } from './entry.ts';

/** A delivery that is under way. Many are made, and few are ever aborted or looked at whether they are. */
class Flight {
  readonly entry: StreamEntry;
  /** Monotonic milliseconds at which Redis may give the message to somebody else. */
  claimedUntilMs: number;
  readonly controller = new LazyAbort();

  constructor(entry: StreamEntry, claimedUntilMs: number) {
    this.entry = entry;
    this.claimedUntilMs = claimedUntilMs;
  }

  get delivery(): Delivery {
    const { wire, count } = this.entry;
    return new AbortableDelivery(wire, count - 1, this.controller);
  }

  abort(why: string): void {
    this.controller.abort(new Error(why));
  }
}

export interface FlightOptions {
  readonly handle: (delivery: Delivery) => Promise<Verdict>;
  readonly onError: (error: Error) => void;
  /** A delivery has its verdict. Not called for one that was let go of before. */
  readonly onVerdict: (entry: StreamEntry, verdict: Verdict) => void;
  /** One has come to its end: its handler has settled, or it was let go of. `wasLost`: its message had been lost before. */
  readonly onEnd: (wasLost: boolean) => void;
}

export class Flights {
  readonly #options: FlightOptions;
  readonly #byId = new Map<string, Flight>();
  /** Those whose message is somebody else's by now, while their handler goes on. */
  readonly #lost = new Set<Flight>();
  /** How many were let go of without a verdict. */
  abandoned = 0;

  constructor(options: FlightOptions) {
    this.#options = options;
  }

  /** Handlers that have not settled. */
  get size(): number {
    return this.#byId.size + this.#lost.size;
  }

  ids(): readonly string[] {
    return [...this.#byId.keys()];
  }

  /** The same, and those whose message was lost while their handler goes on. */
  heldIds(): readonly string[] {
    return [...this.#byId.keys(), ...[...this.#lost].map(({ entry }) => entry.id)];
  }

  /** @param claimedUntilMs monotonic */
  begin(entry: StreamEntry, claimedUntilMs: number): void {
    const flight = new Flight(entry, claimedUntilMs);
    this.#byId.set(entry.id, flight);
    this.#handle(flight.delivery).then(
      (verdict) => this.#end(flight, verdict),
      (error: unknown) => this.#end(flight, rejectedVerdict(error, this.#options.onError)),
    );
  }

  /** Claims that were renewed. */
  renew(ids: readonly string[], claimedUntilMs: number): void {
    for (const id of ids) {
      const flight = this.#byId.get(id);
      if (flight !== undefined) flight.claimedUntilMs = claimedUntilMs;
    }
  }

  /** Those whose claim ends before then. */
  endingBefore(atMs: number): readonly string[] {
    return [...this.#byId.values()].filter((flight) => flight.claimedUntilMs < atMs).map(({ entry }) => entry.id);
  }

  /** The messages are not ours any more: what their handlers say does not count. */
  lose(ids: readonly string[], why: string): void {
    for (const id of ids) {
      const flight = this.#byId.get(id);
      if (flight === undefined) continue;
      this.#byId.delete(id);
      this.#lost.add(flight);
      flight.abort(why);
    }
  }

  abortAll(why: string): void {
    for (const flight of this.#byId.values()) flight.abort(why);
  }

  /** Lets go of all without a verdict. Their claims run out, and the messages come again, counted. */
  abandonAll(): void {
    this.abandoned += this.#byId.size;
    const left = this.size;
    this.#byId.clear();
    this.#lost.clear();
    for (let i = 0; i < left; i += 1) this.#options.onEnd(false);
  }

  /** Also of a handler that throws at once. */
  #handle(delivery: Delivery): Promise<Verdict> {
    try {
      return Promise.resolve(this.#options.handle(delivery));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #end(flight: Flight, verdict: Verdict): void {
    const { id } = flight.entry;
    if (this.#byId.get(id) === flight) {
      this.#byId.delete(id);
      this.#options.onVerdict(flight.entry, verdict);
      this.#options.onEnd(false);
    } else if (this.#lost.delete(flight)) this.#options.onEnd(true);
  }
}
