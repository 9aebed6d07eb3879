/**
 * What a runner tells of itself: for health pages, gauges and tests.
 */

/** How one shard of one subscription is doing in this process. See {@link Relay}. */
export interface RunnerState {
  readonly subscription: string;
  readonly shard: number;
  /** ended: there is no such shard any more; only a new start of the process helps. */
  readonly role: 'active' | 'standby' | 'starting' | 'ended';
  readonly breaker: 'closed' | 'open' | 'half-open';
  /** Monotonic milliseconds of the last sign of life: a tick that ended, well or not, or a try at a broker that is away. */
  readonly lastTickAtMs: number;
  /** A runner without a sign of life for longer than this hangs. It covers its waits and the time limits of its calls. */
  readonly patienceMs: number;
  readonly trouble: string | null;
  /** Why the last tick failed (the database is silent, say); null after one that went well. */
  readonly failure: string | null;
}
