/**
 * The lifecycle that every long-running part of Holdfast shares (relay, consumer, pruner, HTTP server).
 */

/** Options of {@link Service.stop}. */
export interface StopOptions {
  /** Soft until this aborts, then hard: work in flight is aborted and what is not finished stays for a later run. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Starting twice, stopping twice and stopping before start are all fine and do nothing the second time. It can be started again after a
 * stop, and after a start that was rejected. Overlapping calls take effect in the order in which they are made: a start during a stop
 * waits for it, a stop during a start waits for that and then ends it.
 */
export interface Service {
  start(): Promise<void>;
  stop(options?: StopOptions): Promise<void>;
}
