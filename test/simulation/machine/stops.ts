/**
 * Workers that are stopped in good order, and deployments of new code: all at once, or one worker after another, so that old and new code
 * run beside each other.
 */
import type { Machine, SimulatedProcess } from './process.ts';

/** When a worker is stopped by chance, in milliseconds since the beginning. */
const STOPS_MS = [0, 100, 400, 1_500, 4_000];
/** When new code comes before the faults are over. */
const EARLY_MS = [0, 0, 0, 0, 500, 2_000];
/** Between two workers of a deployment. */
const APART_MS = 1_200;

const DEPLOYMENTS = ['no', 'all are killed', 'all are stopped', 'one after the other'] as const;

export class Stops {
  readonly #machine: Machine;
  readonly #workers: readonly SimulatedProcess[];
  readonly #deployment: (typeof DEPLOYMENTS)[number];
  /** The generation of code that has lost compensations, until another one brings them back; null: none has. */
  readonly losing: number | null;

  /** @param isNeeded whether runs wait for new code */
  constructor(machine: Machine, workers: readonly SimulatedProcess[], isNeeded: boolean) {
    const { scheduler, choices } = machine;
    this.#machine = machine;
    this.#workers = workers;
    const how = Math.max(isNeeded ? 1 : 0, choices.choose('new code is deployed', [0.1, 0.15, 0.15, 0.1, 0.1]));
    this.#deployment = DEPLOYMENTS[how] ?? 'one after the other';
    for (const worker of workers) {
      const atMs = STOPS_MS[choices.choose(`${worker.name} is stopped`, [0.08, 0.08, 0.08, 0.04])] ?? 0;
      if (atMs > 0) scheduler.after(atMs, null, () => void worker.stop());
    }
    const earlyMs = EARLY_MS[how] ?? 0;
    this.losing = earlyMs > 0 && choices.choose('the new code has lost compensations', [0.5]) === 1 ? 1 : null;
    if (earlyMs > 0) scheduler.after(earlyMs, null, () => this.#deploy(1));
  }

  /** The newest code, wherever it is not there yet. */
  deploy(): void {
    this.#deploy(this.losing === null ? 1 : this.losing + 1);
  }

  #deploy(newest: number): void {
    if (this.#deployment === 'no') return;
    const { scheduler, trace } = this.#machine;
    const old = this.#workers.filter(({ generation }) => generation < newest);
    if (old.length > 0) trace.say(`new code is deployed: ${this.#deployment}`);
    for (const [index, worker] of old.entries()) {
      const afterMs = this.#deployment === 'one after the other' ? index * APART_MS : 0;
      scheduler.after(afterMs, null, () => {
        worker.generation = Math.max(worker.generation, newest);
        if (this.#deployment === 'all are killed') worker.life?.end();
        else void worker.stop();
      });
    }
  }
}
