/**
 * The runs that a worker has in memory, and how many of them only wait.
 */
import { IdMap } from '../../runtime/id-map.ts';
import type { Run } from '../run/run.ts';

export class RunCache {
  readonly #runs = new IdMap<Run>();
  #resting = 0;

  get size(): number {
    return this.#runs.size;
  }

  /** Those of which nothing is under way. */
  get resting(): number {
    return this.#resting;
  }

  /** Of their journals. */
  get bytes(): number {
    let bytes = 0;
    for (const run of this.#runs.values()) bytes += run.size.bytes;
    return bytes;
  }

  get(id: string): Run | undefined {
    return this.#runs.get(id);
  }

  /** Whether it is this very one that is here: a run that left may have come back as another object. */
  holds(run: Run): boolean {
    return this.#runs.get(run.id) === run;
  }

  all(): readonly Run[] {
    return this.#runs.values();
  }

  /** Runs of a saga that do not only wait. */
  busy(saga: string, version: number): number {
    let count = 0;
    for (const run of this.#runs.values())
      if (run.saga.name === saga && run.saga.version === version && !run.resting) count += 1;
    return count;
  }

  add(run: Run): void {
    this.#runs.set(run.id, run);
  }

  remove(run: Run): void {
    this.#runs.delete(run.id);
    this.rests(run, false);
  }

  rests(run: Run, rests: boolean): void {
    if (run.resting === rests) return;
    const mark: { resting: boolean } = run;
    mark.resting = rests;
    this.#resting += rests ? 1 : -1;
  }

  clear(): void {
    this.#runs.clear();
    this.#resting = 0;
  }
}
