/**
 * The worker of a saga under test: the engine of production on the store in memory and a clock that is moved by hand, with crashes
 * where the test wants them, and the ways to let time pass until everything that can go on has gone on.
 */
// By name, so that a test's fake timers, which replace the globals, do not stop what is to move them.
import { setImmediate, setTimeout } from 'node:timers';
import { HoldfastError } from '../../errors.ts';
import { DEFAULT_MAX_BYTES } from '../../outbox/prepare.ts';
import type { Logger } from '../../runtime/log.ts';
import { noopMetrics } from '../../runtime/metrics.ts';
import type { Registry } from '../../saga/definition/definition.ts';
import { DEFAULT_JOURNAL_LIMITS } from '../../saga/journal/growth.ts';
import { DEFAULT_REPLY_TOPIC } from '../../saga/protocol/wire.ts';
import type { WorkerStore } from '../../saga/store/store.ts';
import { createWorkerCore, type WorkerOn } from '../../saga/worker/worker-core.ts';
import type { ManualClock } from '../manual-clock.ts';
import { CrashPlan, type PassedPoint } from './crash-plan.ts';
import type { MemoryTx } from './memory-transactions.ts';
import type { MemorySagaStore } from './memory-saga-store.ts';

export interface TestWorkerOptions {
  readonly clock: ManualClock;
  readonly store: MemorySagaStore;
  readonly registry: Registry;
  readonly leaseMs: number;
  readonly random: () => number;
  /** How long, in real milliseconds, something may take that the clock has no say in. */
  readonly settleWithinMs: number;
  /** Lets what is outside of the engine begin what it can; called in each round. */
  readonly pump: () => void;
  /** What is under way outside of the engine and will end by itself, by name. */
  readonly busy: () => readonly string[];
  /** Told at the moment of a crash. */
  readonly onCrash: (point: string) => void;
}

export interface TestWorker {
  readonly points: readonly PassedPoint[];
  readonly crashes: number;
  /** One has died whose lease is not over. */
  readonly mourning: boolean;
  /** The worker dies when `when` says so of a point that it passes; once. */
  planCrash(when: (passed: PassedPoint) => boolean): void;
  /** It dies now. */
  crash(): Promise<void>;
  /** The lease of all that have died is over now. */
  expireDead(): Promise<void>;
  /** Something has happened outside of the engine. */
  note(): void;
  start(): Promise<void>;
  settle(): Promise<void>;
  advance(byMs: number): Promise<void>;
  /** From one due time to the next until `done`, or nothing is due within `withinMs`. Resolves whether it is done. */
  advanceUntil(done: () => boolean, withinMs: number): Promise<boolean>;
}

/** The real time, whatever a test makes of it. */
const realNow = performance.now.bind(performance);
/** So many rounds in which nothing happens are the end of a settling. */
const QUIET_ROUNDS = 3;
/** Turns of the event loop in a round; the longest silence of the engine between two things that can be seen is shorter. */
const TURNS = 4;
/** A flow that goes on and on without waiting is stopped by the length of its journal long before. */
const MOST_ROUNDS = 100_000;
/** Longer than any test: leases end when the test's own rule says so, and renewing them would only cost turns. */
const LEASE_MS = 400 * 365 * 86_400_000;

export function createTestWorker(options: TestWorkerOptions): TestWorker {
  return new MemoryTestWorker(options);
}

class MemoryTestWorker implements TestWorker {
  readonly #options: TestWorkerOptions;
  readonly #core: WorkerOn<MemoryTx>;
  readonly #plan = new CrashPlan();
  /** Ids of those that have died and whose lease is not over. */
  readonly #dead = new Set<string>();
  readonly #faults: unknown[] = [];
  #happened = 0;
  /** What the last look at the store found. */
  #found = 0;

  constructor(options: TestWorkerOptions) {
    const { clock, store, registry } = options;
    this.#options = options;
    store.onChange(() => this.note());
    this.#core = createWorkerCore<MemoryTx>({
      store: this.#countingStore(),
      clientStore: store,
      registry,
      name: 'test',
      leaseMs: LEASE_MS,
      concurrency: 1_000,
      mostWaiting: 1_000,
      settings: { maxBytes: DEFAULT_MAX_BYTES, replyTo: DEFAULT_REPLY_TOPIC, ...DEFAULT_JOURNAL_LIMITS },
      clock,
      random: options.random,
      log: faultLog(this.#faults),
      metrics: noopMetrics,
      crashPoint: (point) => this.#pass(point),
      // The store wakes it in any case. Looks in between would find nothing, and a week in a test is full of them.
      idlePollMs: Infinity,
      setAsleep: async (asleep) => asleep,
      asleepAfterMs: 0,
    });
    store.onChange(() => this.#core.wake());
  }

  get points(): readonly PassedPoint[] {
    return this.#plan.points;
  }

  get crashes(): number {
    return this.#plan.crashes;
  }

  get mourning(): boolean {
    return this.#dead.size > 0;
  }

  planCrash(when: (passed: PassedPoint) => boolean): void {
    this.#plan.add(when);
  }

  async crash(): Promise<void> {
    this.#plan.setNow();
    await this.#core.tick();
  }

  async expireDead(): Promise<void> {
    for (const id of this.#dead) await this.#expire(id);
  }

  note(): void {
    this.#happened += 1;
  }

  start(): Promise<void> {
    return this.#core.start();
  }

  async settle(): Promise<void> {
    const { busy, pump, settleWithinMs } = this.#options;
    const beganAt = realNow();
    const outside = new OutsideWait(this.#options.clock);
    let quiet = 0;
    for (let round = 0; quiet < QUIET_ROUNDS; round += 1) {
      const before = this.#happened;
      pump();
      await this.#core.tick();
      for (let n = 0; n < TURNS; n += 1) await new Promise((resolve) => setImmediate(resolve));
      if (this.#faults.length > 0) throw this.#faults.shift();
      const underWay = busy();
      const nothing = this.#happened === before;
      quiet = nothing && underWay.length === 0 ? quiet + 1 : 0;
      outside.see(underWay.length > 0);
      if (!nothing) continue;
      if (round > MOST_ROUNDS || (underWay.length > 0 && realNow() - beganAt > settleWithinMs))
        throw unsettled(underWay, settleWithinMs);
      if (underWay.length > 0 && (await outside.wait())) this.note();
    }
  }

  async advance(byMs: number): Promise<void> {
    const { clock } = this.#options;
    await this.settle();
    const targetMs = clock.monotonic() + byMs;
    while (clock.nextDueMs <= targetMs) await this.#jump(clock.nextDueMs);
    await this.#jump(targetMs);
  }

  async advanceUntil(done: () => boolean, withinMs: number): Promise<boolean> {
    const { clock } = this.#options;
    await this.settle();
    const lastMs = clock.monotonic() + withinMs;
    while (!done()) {
      if (clock.nextDueMs > lastMs) return false;
      await this.#jump(clock.nextDueMs);
    }
    return true;
  }

  async #jump(toMs: number): Promise<void> {
    const { clock } = this.#options;
    if (toMs > clock.monotonic()) await clock.advance(toMs - clock.monotonic());
    await this.settle();
  }

  #pass(point: string): void {
    if (this.#plan.passesOver(point, this.#found) || !this.#plan.pass(point, () => this.note())) return;
    const { id } = this.#core;
    this.#dead.add(id);
    this.#options.onCrash(point);
    void this.#options.clock.sleep(this.#options.leaseMs).then(() => this.#expire(id));
    throw new Error(`The test has the worker die at ${point}.`);
  }

  async #expire(id: string): Promise<void> {
    const { store } = this.#options;
    if (!this.#dead.delete(id)) return;
    await store.renew(id, 0).catch(() => undefined);
    await store.takeOver();
    this.note();
  }

  #countingStore(): WorkerStore {
    const { store } = this.#options;
    return {
      ...store,
      claim: async (...given) => {
        const claimed = await store.claim(...given);
        this.#found = claimed.length;
        return claimed;
      },
      collect: async (...given) => {
        const collected = await store.collect(...given);
        this.#found = collected.runMessages.length + collected.claimed.length;
        return collected;
      },
    };
  }
}

/** A wait for something outside, whose timers and sockets need real time. */
class OutsideWait {
  readonly #clock: ManualClock;
  /** When it was first seen under way, by both clocks. */
  #since: { readonly real: number; readonly test: number } | null = null;

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  see(isUnderWay: boolean): void {
    if (!isUnderWay) this.#since = null;
    else this.#since ??= { real: realNow(), test: this.#clock.monotonic() };
  }

  /** Whether the clock of the test was moved: what is due before it has ended wins the race, as it would anywhere. */
  async wait(): Promise<boolean> {
    const { real, test } = this.#since ?? { real: realNow(), test: this.#clock.monotonic() };
    const dueMs = this.#clock.nextDueMs;
    if (dueMs > test + (realNow() - real)) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      return false;
    }
    await this.#clock.advance(Math.max(0, dueMs - this.#clock.monotonic()));
    return true;
  }
}

function unsettled(busy: readonly string[], withinMs: number): HoldfastError {
  const what = busy.length === 0 ? 'The saga goes on and on' : `${busy.join(', ')} did not end within ${withinMs} ms`;
  return new HoldfastError('HF_TEST_UNSETTLED', `${what}, and the clock of the test has no part in it.`, {
    advice:
      busy.length === 0
        ? 'Look for a loop that waits for nothing.'
        : 'Replace it in the test by `steps` or `participants`, let it wait by test.sleep(), or raise settleWithin.',
    details: { busy },
  });
}

/** What the engine reports as an error is one of the test, or of the engine, but for a run that is stuck: that is an end, to be looked at. */
function faultLog(faults: unknown[]): Logger {
  const nothing = (): void => {};
  const log: Logger = {
    debug: nothing,
    info: nothing,
    warn: nothing,
    error: (fields: object, message: string) => {
      const { err, why } = fields as { readonly err?: unknown; readonly why?: unknown };
      if (why !== undefined) return;
      faults.push(err ?? new Error(message));
    },
    child: () => log,
  };
  return log;
}
