/**
 * How long a read of the log may go without an answer. Doubled while it has none: that may be a dead connection, or a read that takes
 * its time. 0: as long as the lease allows.
 */

/** Longer than any read of the log takes, in milliseconds. */
const LONGEST_READ_MS = 120_000;

export class ReadPatience {
  #timeoutMs = 0;

  get timeoutMs(): number {
    return this.#timeoutMs;
  }

  answered(): void {
    this.#timeoutMs = 0;
  }

  unanswered(leaseMs: number): void {
    this.#timeoutMs = Math.min(2 * Math.max(this.#timeoutMs, leaseMs), LONGEST_READ_MS);
  }
}

/** As the driver says it. */
export function isReadTimeout(error: unknown): boolean {
  return error instanceof Error && error.message === 'Query read timeout';
}
