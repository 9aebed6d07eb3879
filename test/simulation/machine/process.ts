/**
 * A process of a simulation: it is started, and dies, and is started again with nothing of its memory. Each time between is a life.
 */
import type { Clock } from '../../../src/runtime/clock.ts';
import type { Choices } from './choices.ts';
import type { Owner, Scheduler } from './scheduler.ts';
import type { Trace } from './trace.ts';

/** What a process can be cut off from. */
export type Port = 'store' | 'broker' | 'outside';

/** What all processes of a simulation share. */
export interface Machine {
  readonly scheduler: Scheduler;
  readonly choices: Choices;
  readonly trace: Trace;
  /** Milliseconds since the epoch at its beginning. */
  readonly startMs: number;
}

export class Life implements Owner {
  readonly name: string;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly machine: Machine;
  /** Which code it runs: later deployments have greater numbers. */
  readonly generation: number;
  alive = true;
  /** Stopped in good order: nothing of it should be heard of any more. */
  stopped = false;
  pausedUntil = 0;
  /** How far its wall clock is ahead of that of the store, in milliseconds. */
  skewMs = 0;
  readonly #cutUntil = new Map<Port, number>();
  readonly #slow = new Map<string, { readonly byMs: number; readonly until: number }>();
  readonly #onEnd: (() => void)[] = [];

  constructor(machine: Machine, name: string, number: number, generation: number) {
    const { scheduler, startMs, choices } = machine;
    this.name = name;
    this.machine = machine;
    this.generation = generation;
    this.random = choices.numbersFor(`${name} ${number}`);
    this.clock = {
      now: () => startMs + scheduler.now + this.skewMs,
      monotonic: () => scheduler.now,
      sleep: (delayMs, signal) => this.sleep(delayMs, signal),
    };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted === true || !(delayMs > 0)) return resolve();
      const takeBack =
        delayMs === Infinity
          ? null
          : this.machine.scheduler.after(delayMs, this, () => {
              signal?.removeEventListener('abort', awake);
              resolve();
            });
      const awake = (): void => {
        takeBack?.();
        resolve();
      };
      signal?.addEventListener('abort', awake, { once: true });
    });
  }

  pause(forMs: number): void {
    this.pausedUntil = this.machine.scheduler.now + forMs;
  }

  cut(port: Port, forMs: number): void {
    this.#cutUntil.set(port, this.machine.scheduler.now + forMs);
  }

  isCut(port: Port): boolean {
    return (this.#cutUntil.get(port) ?? 0) > this.machine.scheduler.now;
  }

  /** Requests to a port, or answers from there, take longer, for a while. */
  slow(port: Port, which: 'requests' | 'answers', byMs: number, forMs: number): void {
    this.#slow.set(`${which} ${port}`, { byMs, until: this.machine.scheduler.now + forMs });
  }

  /** By how much, in milliseconds. */
  slowness(port: Port, which: 'requests' | 'answers'): number {
    if (this.#slow.size === 0) return 0;
    const slow = this.#slow.get(`${which} ${port}`);
    return slow === undefined || slow.until <= this.machine.scheduler.now ? 0 : slow.byMs;
  }

  onEnd(act: () => void): void {
    this.#onEnd.push(act);
  }

  /** Nothing of it happens any more. What it has sent may still arrive. */
  end(): void {
    if (!this.alive) return;
    this.alive = false;
    for (const act of this.#onEnd) act();
  }
}

/** How long until a process that died is started again, in milliseconds. */
const RESTART_MS = 1_500;
/** A process that was asked to stop has done so within this, whatever it cannot reach. Milliseconds. */
const STOP_MS = 60_000;

/** What a process that can be stopped in good order is begun with. */
export interface Stoppable {
  /** Resolves when nothing of it is under way any more. */
  stop(): Promise<void>;
}

export class SimulatedProcess {
  readonly name: string;
  readonly #machine: Machine;
  readonly #begin: (life: Life) => Stoppable | null;
  readonly #onNotStopping: (name: string) => void;
  /** What it is started with next. */
  generation = 0;
  life: Life | null = null;
  #lives = 0;
  #stoppable: Stoppable | null = null;

  /**
   * @param begin builds everything anew
   * @param onNotStopping told when it was asked to stop, and has not
   */
  constructor(
    machine: Machine,
    name: string,
    begin: (life: Life) => Stoppable | null,
    onNotStopping: (name: string) => void,
  ) {
    this.#machine = machine;
    this.name = name;
    this.#begin = begin;
    this.#onNotStopping = onNotStopping;
  }

  /** In good order; it is started again afterwards, as one that has died. */
  async stop(): Promise<void> {
    const { life } = this;
    const stoppable = this.#stoppable;
    if (life === null || stoppable === null || !life.alive) return;
    this.#stoppable = null;
    this.#machine.trace.say(`${this.name} is asked to stop`);
    this.#machine.scheduler.after(STOP_MS, null, () => {
      if (life.alive) this.#onNotStopping(this.name);
    });
    await stoppable.stop();
    life.end();
  }

  start(): void {
    const life = new Life(this.#machine, this.name, (this.#lives += 1), this.generation);
    this.life = life;
    this.#machine.trace.say(`${this.name} starts${this.generation === 0 ? '' : ' with new code'}`);
    life.onEnd(() => {
      this.#machine.trace.say(`${this.name} is gone`);
      this.#machine.scheduler.after(RESTART_MS, null, () => this.start());
    });
    this.#stoppable = this.#begin(life);
  }
}
