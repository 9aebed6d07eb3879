/**
 * The door by which replies come to runs that this process has in memory. A worker gives one to the consumer of its replies; a consumer
 * without a worker has none, and stores them all.
 */
export interface ReplyDoor {
  /**
   * Hands a reply to its run. `body`: its RunMessageBody as JSON text. Null at once when the run is not here, or cannot take it this way: the
   * reply is then stored. Resolves with true once what came of it is durable, and with false when nothing is: it is then stored as well.
   */
  take(runId: string, body: string): Promise<boolean> | null;
  /** A reply was stored: whoever has its run may look at once. */
  stored(): void;
}
