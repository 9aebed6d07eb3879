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
import { createWorkerCore } from '../../saga/worker/worker-core.ts';
import type { ManualClock } from '../manual-clock.ts';
import type { MemoryTx } from './memory-transactions.ts';
import type { MemorySagaStore } from './memory-saga-store.ts';

/** An I/O point that a worker has passed. */
export interface PassedPoint {
  /** As in SAGA_CRASH_POINTS, with `:before` or `:after`. */
  readonly point: string;
  /** From 1 on, counted for each point over the whole test. */
  readonly occurrence: number;
}

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
  const { clock, store, registry } = options;
  const counts = new Map<string, number>();
  const points: PassedPoint[] = [];
  const plans = new Set<(passed: PassedPoint) => boolean>();
  const dead = new Set<string>();
  const faults: unknown[] = [];
  let dieNow = false;
  let crashes = 0;
  let happened = 0;
  let found = 0;
  const note = (): void => void (happened += 1);
  store.onChange(note);

  const core = createWorkerCore<MemoryTx>({
    store: {
      ...store,
      async claim(...given) {
        const claimed = await store.claim(...given);
        found = claimed.length;
        return claimed;
      },
      async collect(...given) {
        const collected = await store.collect(...given);
        found = collected.runMessages.length + collected.claimed.length;
        return collected;
      },
    },
    clientStore: store,
    registry,
    name: 'test',
    leaseMs: LEASE_MS,
    concurrency: 1_000,
    mostWaiting: 1_000,
    settings: { maxBytes: DEFAULT_MAX_BYTES, replyTo: DEFAULT_REPLY_TOPIC, ...DEFAULT_JOURNAL_LIMITS },
    clock,
    random: options.random,
    log: faultLog(faults),
    metrics: noopMetrics,
    crashPoint: pass,
    idlePollMs: Infinity,
    setAsleep: async (asleep) => asleep,
  });
  store.onChange(() => core.wake());

  function pass(point: string): void {
    // Looks at the store that find nothing are many, and nobody could tell a crash there from one before.
    const look = point.startsWith('saga.collect') || point.startsWith('saga.claim');
    if (look && !dieNow && (point.endsWith(':before') || found === 0)) return;
    const occurrence = (counts.get(point) ?? 0) + 1;
    const passed = { point, occurrence };
    let planned = false;
    if (!dieNow) {
      counts.set(point, occurrence);
      points.push(passed);
      note();
      for (const plan of plans) {
        if (!plan(passed)) continue;
        plans.delete(plan);
        planned = true;
      }
    }
    if (!dieNow && !planned) return;
    dieNow = false;
    crashes += 1;
    dead.add(core.id);
    options.onCrash(point);
    const id = core.id;
    void clock.sleep(options.leaseMs).then(() => expire(id));
    throw new Error(`The test has the worker die at ${point}.`);
  }

  async function expire(id: string): Promise<void> {
    if (!dead.delete(id)) return;
    await store.renew(id, 0).catch(() => undefined);
    await store.takeOver();
    note();
  }

  async function settle(): Promise<void> {
    const beganAt = realNow();
    /** When something that takes real time was first seen under way, by both clocks. */
    let since: { readonly real: number; readonly test: number } | null = null;
    let quiet = 0;
    for (let round = 0; quiet < QUIET_ROUNDS; round += 1) {
      const before = happened;
      options.pump();
      await core.tick();
      for (let n = 0; n < TURNS; n += 1) await new Promise((resolve) => setImmediate(resolve));
      if (faults.length > 0) throw faults.shift();
      const busy = options.busy();
      quiet = happened === before && busy.length === 0 ? quiet + 1 : 0;
      if (busy.length === 0) since = null;
      else since ??= { real: realNow(), test: clock.monotonic() };
      if (happened !== before) continue;
      if (round > MOST_ROUNDS || (busy.length > 0 && realNow() - beganAt > options.settleWithinMs))
        throw unsettled(busy, options.settleWithinMs);
      if (since === null) continue;
      // Something outside: its timers and sockets need real time. What is due before it has ended wins the race, as it would anywhere.
      const dueMs = clock.nextDueMs;
      if (dueMs <= since.test + (realNow() - since.real)) {
        await clock.advance(Math.max(0, dueMs - clock.monotonic()));
        note();
      } else await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async function jump(toMs: number): Promise<void> {
    if (toMs > clock.monotonic()) await clock.advance(toMs - clock.monotonic());
    await settle();
  }

  return {
    points,
    get crashes() {
      return crashes;
    },
    get mourning() {
      return dead.size > 0;
    },
    planCrash: (when) => void plans.add(when),
    async crash() {
      dieNow = true;
      await core.tick();
    },
    async expireDead() {
      for (const id of dead) await expire(id);
    },
    note,
    start: () => core.start(),
    settle,
    async advance(byMs) {
      await settle();
      const targetMs = clock.monotonic() + byMs;
      while (clock.nextDueMs <= targetMs) await jump(clock.nextDueMs);
      await jump(targetMs);
    },
    async advanceUntil(done, withinMs) {
      await settle();
      const lastMs = clock.monotonic() + withinMs;
      while (!done()) {
        if (clock.nextDueMs > lastMs) return false;
        await jump(clock.nextDueMs);
      }
      return true;
    },
  };
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
