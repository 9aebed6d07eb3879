/**
 * The deliveries of a partition that have no verdict yet.
 */
import type { Delivery, Verdict } from '../port.ts';
import type { StreamEntry } from './entry.ts';

/** How long a message waits whose handler threw instead of giving a verdict. */
const REJECTED_LATER_MS = 1000;

export interface Flight {
  readonly entry: StreamEntry;
  readonly controller: AbortController;
  /** Monotonic milliseconds at which Redis may give the message to somebody else. */
  claimedUntilMs: number;
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
    const flight: Flight = { entry, controller: new AbortController(), claimedUntilMs };
    this.#byId.set(entry.id, flight);
    void this.#run(flight);
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
      flight.controller.abort(new Error(why));
    }
  }

  abortAll(why: string): void {
    for (const { controller } of this.#byId.values()) controller.abort(new Error(why));
  }

  /** Lets go of all without a verdict. Their claims run out, and the messages come again, counted. */
  abandonAll(): void {
    this.abandoned += this.#byId.size;
    const left = this.size;
    this.#byId.clear();
    this.#lost.clear();
    for (let i = 0; i < left; i += 1) this.#options.onEnd(false);
  }

  async #run(flight: Flight): Promise<void> {
    const verdict = await this.#verdictOf(flight);
    const { id } = flight.entry;
    if (this.#byId.get(id) === flight) {
      this.#byId.delete(id);
      this.#options.onVerdict(flight.entry, verdict);
      this.#options.onEnd(false);
    } else if (this.#lost.delete(flight)) this.#options.onEnd(true);
  }

  /** One that throws has not handled the message: later. */
  async #verdictOf({ entry, controller }: Flight): Promise<Verdict> {
    try {
      return await this.#options.handle({ wire: entry.wire, redeliveries: entry.count - 1, signal: controller.signal });
    } catch (error) {
      this.#options.onError(error instanceof Error ? error : new Error(String(error)));
      return { kind: 'later', delayMs: REJECTED_LATER_MS };
    }
  }
}
