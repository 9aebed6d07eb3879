/**
 * The transactions of a consumer that may be open at once, and who has the next one. When messages wait, a transaction that has sent its COMMIT
 * hands its connection on before the answer is there: BEGIN of the next one goes out in the same piece, and nobody waits for the round trip
 * in between. Each still has its own answer to its own COMMIT.
 */
import type { PoolClient } from 'pg';
import type { Pipeline } from '../../postgres/pipeline.ts';
import type { Clock } from '../../runtime/clock.ts';

/** A connection on which COMMIT is on its way. Whoever is given it sends BEGIN at once, or destroys it. */
export interface HandedConnection {
  readonly client: PoolClient;
  /** That of the client, switched on. */
  readonly pipeline: Pipeline;
  /** How often it was handed on since it came from the pool, this time included. */
  readonly times: number;
}

/**
 * Transactions so short on average that a message may as well wait here for the next one, in milliseconds. Behind longer ones it is left in
 * the broker, where another process may be free to take it.
 */
const SHORT_MS = 100;
/** Of each new duration in the average. */
const WEIGHT = 1 / 16;

export class TransactionLanes {
  readonly #clock: Clock;
  readonly #lanes: number;
  #free: number;
  /** null: none is known yet. */
  #averageMs: number | null = null;
  /** The first one first. Given null, it takes a connection from the pool. */
  readonly #waiting: ((handed: HandedConnection | null) => void)[] = [];

  constructor(lanes: number, clock: Clock) {
    this.#clock = clock;
    this.#lanes = lanes;
    this.#free = lanes;
  }

  /** Monotonic. */
  nowMs(): number {
    return this.#clock.monotonic();
  }

  /** How many messages may wait here for their transactions. */
  readonly ahead = (): number => (this.#averageMs !== null && this.#averageMs <= SHORT_MS ? this.#lanes : 0);

  /** Whether a message waits for its transaction. */
  get isAwaited(): boolean {
    return this.#waiting.length > 0;
  }

  /** For whoever wants to open a transaction. Null: at once, on a connection from the pool. Ends with `leave` or `handOn`. */
  enter(): Promise<HandedConnection | null> | null {
    if (this.#free > 0) {
      this.#free -= 1;
      return null;
    }
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  /** Gives the place and the connection to the first that waits. Only while `isAwaited`. */
  handOn(handed: HandedConnection, sinceMs: number): void {
    this.#note(sinceMs);
    this.#waiting.shift()?.(handed);
  }

  /** Gives the place back without a connection. */
  leave(sinceMs: number): void {
    this.#note(sinceMs);
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next(null);
  }

  /** @param sinceMs monotonic, when it was entered */
  #note(sinceMs: number): void {
    const tookMs = this.nowMs() - sinceMs;
    this.#averageMs = this.#averageMs === null ? tookMs : this.#averageMs + (tookMs - this.#averageMs) * WEIGHT;
  }
}
