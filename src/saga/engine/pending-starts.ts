/** Those who have started a run in a worker and wait until that is durable. */
import { IdMap } from '../../runtime/id-map.ts';
import { startInDoubt } from '../store/commit-error.ts';

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class PendingStarts {
  readonly #waiting = new IdMap<Waiting>();

  /** Resolves once the run is durable; rejects when it is not, or when nobody knows. */
  wait(runId: string): Promise<void> {
    return new Promise((resolve, reject) => this.#waiting.set(runId, { resolve, reject }));
  }

  /** A commit of the run has been made; only for the first one somebody waits. */
  made(runId: string): void {
    this.#take(runId)?.resolve();
  }

  /** Returns whether somebody waited: it was not started. */
  refuse(runId: string, reason: unknown): boolean {
    const waiting = this.#take(runId);
    waiting?.reject(reason);
    return waiting !== undefined;
  }

  /** The worker is dead: what was written nobody knows. */
  die(reason: Error): void {
    for (const { reject } of this.#waiting.values()) reject(startInDoubt(reason));
    this.#waiting.clear();
  }

  #take(runId: string): Waiting | undefined {
    const waiting = this.#waiting.get(runId);
    this.#waiting.delete(runId);
    return waiting;
  }
}
