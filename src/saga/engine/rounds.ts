/**
 * Lets the runs of a worker go on, in rounds: one run event of each run, then a turn of the event loop for all their code, then what it
 * did. What happens meanwhile is for the next round.
 */
import { afterwards, goesOnByItself } from '../decide/afterwards.ts';
import { collect } from '../decide/calls.ts';
import { takeRunEvent } from '../decide/take-run-event.ts';
import { inTime, nextTurn, turn } from '../replay/turn.ts';
import { ReadyQueue } from './ready-queue.ts';
import type { RunCache } from './run-cache.ts';
import type { DecisionContext } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';

export interface RoundsOptions {
  readonly runs: RunCache;
  readonly context: () => DecisionContext;
  /** What has happened to the run is taken in. */
  readonly onSettled: (run: Run) => void;
  /** The run breaks the rules of its own, and cannot go on here. */
  readonly giveBack: (run: Run, error: unknown) => void;
  /** A round is over: what came of it is to be committed. */
  readonly onRound: () => void;
  readonly onBroken: (error: unknown) => void;
}

export class Rounds {
  readonly #options: RoundsOptions;
  readonly #ready = new ReadyQueue();
  #isUnderWay = false;
  #dead = false;

  constructor(options: RoundsOptions) {
    this.#options = options;
  }

  /** Runs that wait for the next round. */
  get waiting(): number {
    return this.#ready.size;
  }

  /** Something has happened to the run. */
  add(run: Run): void {
    if (this.#ready.add(run)) this.wake();
  }

  /** Sees to it that a round begins, even if it is only to commit something. */
  wake(): void {
    if (this.#isUnderWay || this.#dead) return;
    this.#isUnderWay = true;
    nextTurn(() => this.#goOn()).catch((error: unknown) => this.#options.onBroken(error));
  }

  die(): void {
    this.#dead = true;
    this.#ready.clear();
  }

  async #goOn(): Promise<void> {
    try {
      do {
        const ready = this.#ready.take();
        if (ready.length > 0) await this.#round(ready);
        this.#options.onRound();
      } while (this.#ready.size > 0);
    } finally {
      this.#isUnderWay = false;
    }
    if (this.#ready.size > 0) this.wake();
  }

  async #round(ready: readonly Run[]): Promise<void> {
    const context = this.#options.context();
    const told: Run[] = [];
    const slow = this.#tell(ready, context, told);
    if (slow.length > 0) await Promise.all(slow);
    if (told.length > 0) await turn();
    const later = this.#collect(told, context);
    if (later.length > 0) await Promise.all(later);
    for (const run of ready) {
      if (!this.#options.runs.holds(run)) continue;
      // A request to compensate granted, a sibling settled, a compensation done: what goes on without the code.
      if (goesOnByItself(run))
        await inTime(afterwards(run, context)).catch((error: unknown) => this.#options.giveBack(run, error));
      this.#ready.putDown(run);
      if (this.#options.runs.holds(run)) this.#options.onSettled(run);
    }
  }

  /** One run event of each run. Those whose code has been told something are added to `told`. Returns what has to be waited for. */
  #tell(ready: readonly Run[], context: DecisionContext, told: Run[]): readonly Promise<void>[] {
    const slow: Promise<void>[] = [];
    for (const run of ready) {
      this.#ready.leave(run);
      const runEvent = run.takesNothing ? undefined : run.runEvents.shift();
      if (runEvent === undefined) continue;
      this.#ready.takeInHand(run);
      const result = this.#guard(run, () => takeRunEvent(run, runEvent, context));
      if (result === true) told.push(run);
      else if (result instanceof Promise)
        slow.push(
          inTime(result).then(
            (spoken) => {
              if (spoken) told.push(run);
            },
            (error: unknown) => this.#options.giveBack(run, error),
          ),
        );
    }
    return slow;
  }

  /** What the code of each did. Returns what has to be waited for. */
  #collect(told: readonly Run[], context: DecisionContext): readonly Promise<void>[] {
    const later: Promise<void>[] = [];
    for (const run of told) {
      const collected = this.#guard(run, () => collect(run, context));
      if (collected instanceof Promise)
        later.push(inTime(collected).catch((error: unknown) => this.#options.giveBack(run, error)));
    }
    return later;
  }

  /** One run that breaks the rules of its own must not take all others down with it. */
  #guard<T>(run: Run, act: () => T): T | undefined {
    try {
      return act();
    } catch (error) {
      this.#options.giveBack(run, error);
      return undefined;
    }
  }
}
