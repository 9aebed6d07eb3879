/**
 * One life of a worker: from its registration to the end of its lease, with the runs it has in memory. When the lease is lost the life
 * is over, whatever is still under way in it is nobody's, and the worker begins another one.
 */
import { randomUUID } from 'node:crypto';
import { getHeapStatistics } from 'node:v8';
import { HoldfastError } from '../../errors.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import type { Logger } from '../../runtime/log.ts';
import { backoffMs, RECONNECT } from '../../runtime/retry.ts';
import type { Limits } from '../engine/step-attempt.ts';
import type { RunSettings } from '../run/run-settings.ts';
import type { AnySaga, Registry } from '../definition/definition.ts';
import { createStepExecutor } from '../engine/step-executor.ts';
import { fingerprintOf } from './fingerprint.ts';
import { Engine } from '../engine/engine.ts';
import type { LeaseKeeper } from './lease-keeper.ts';
import { createOrphanWatch } from './orphans.ts';
import type { Run } from '../run/run.ts';
import type { SagaVersion, WorkerStore } from '../store/store.ts';

/**
 * Of the journals of the runs in memory, in bytes: no more runs are taken up then. A run takes several times the bytes of its journal while
 * it is loaded, so a sixteenth of what the process may have.
 */
const MOST_BYTES = Math.max(32 * 1024 * 1024, Math.floor(getHeapStatistics().heap_size_limit / 16));
/** Of messages that are in memory and not yet taken in, in bytes. */
const MOST_RUN_MESSAGE_BYTES = 32 * 1024 * 1024;

export interface LeaseSessionOptions {
  readonly store: WorkerStore;
  readonly name: string;
  readonly registry: Registry;
  readonly leaseMs: number;
  /** Most runs in memory that do not just wait. */
  readonly concurrency: number;
  readonly mostWaiting: number;
  readonly settings: RunSettings;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly random: () => number;
  readonly log: Logger;
  readonly crashPoint: CrashPoint;
  /** What else prolongs the lease. */
  readonly keeper: LeaseKeeper | null;
  readonly onLeft: (run: Run, stored: boolean) => void;
  /** Something is due earlier than was thought. */
  readonly onTimer: () => void;
  readonly onCommit: (runs: number) => void;
  /** Other runs were started, or have messages. */
  readonly onPosted: () => void;
  /** The life is over: the lease is lost, or nothing can be written any more. */
  readonly onOver: (error: unknown) => void;
}

export interface LeaseSession {
  readonly id: string;
  readonly engine: Engine;
  /** How many more runs may be taken up. */
  readonly room: number;
  /** How many more of one saga. */
  roomFor(saga: AnySaga): number;
  /** The store's time, never ahead of it. */
  now(): number;
  /** Prolongs the lease; ends the life when it cannot be done in time. */
  renew(): Promise<void>;
  /** Claims what is due and collects run messages. Resolves with how much came of it. */
  poll(): Promise<number>;
  end(error: Error): void;
  readonly over: boolean;
}

export async function openLeaseSession(options: LeaseSessionOptions): Promise<LeaseSession> {
  const { store, registry, leaseMs, clock, log } = options;
  const id = randomUUID();
  const sagas: readonly SagaVersion[] = registry.all.map(({ name, version }) => ({ saga: name, version }));
  const codes = Object.fromEntries(registry.all.map((saga) => [offerOf(saga), fingerprintOf(saga)]));
  let over = false;
  /** The store's time at a moment of our own clock. The answer was given before it arrived, so this is never ahead. */
  let known = { storeMs: 0, ownMs: 0 };
  let confirmedAtMs = clock.monotonic();
  known = {
    storeMs: await store.register({
      id,
      name: options.name,
      sagas,
      leaseMs,
      codes,
      maxBytes: options.settings.maxBytes,
      limits: options.settings,
    }),
    ownMs: clock.monotonic(),
  };

  const now = (): number => known.storeMs + (clock.monotonic() - known.ownMs);

  options.keeper?.keep(id);
  /** By the own clock; a keeper may have prolonged it while the event loop stood still. */
  const isOver = (): boolean =>
    clock.monotonic() - confirmedAtMs >= leaseMs && (options.keeper?.sinceKeptMs() ?? Infinity) >= leaseMs;

  function end(error: Error): void {
    if (over) return;
    over = true;
    options.keeper?.keep(null);
    engine.die(error);
    options.onOver(error);
  }

  function pass(point: string): boolean {
    if (over) return false;
    // A process that was stopped and goes on must not begin anything before it has looked whether it is still meant to.
    if (isOver()) {
      end(leaseOver(id));
      return false;
    }
    try {
      options.crashPoint(point);
    } catch (error) {
      // What a test's crash point throws is the death of the worker: nothing of it is heard of again.
      end(error instanceof Error ? error : new Error(String(error)));
    }
    return !over;
  }

  const broken = (error: unknown): void => end(error instanceof Error ? error : new Error(String(error)));
  const engine: Engine = new Engine({
    store,
    workerId: id,
    registry,
    settings: { ...options.settings, log, onHeld: (holder) => options.keeper?.held(holder) },
    codeOf: (saga) => codes[offerOf(saga)] ?? '',
    log,
    random: options.random,
    now,
    mostWaiting: options.mostWaiting,
    pass,
    onBroken: broken,
    pause: (failures) => clock.sleep(backoffMs(RECONNECT, failures, options.random)),
    onLeft: options.onLeft,
    onTimer: options.onTimer,
    onCommit: options.onCommit,
    onPosted: options.onPosted,
    effects: (own) =>
      createStepExecutor({
        store,
        workerId: id,
        clock,
        limits: options.limits,
        random: options.random,
        now,
        tell: (run, runEvent) => own.tell(run, runEvent),
        quiet: (run) => own.quiet(run),
        pass,
        onBroken: broken,
      }),
  });

  const orphans = createOrphanWatch({
    store,
    workerId: id,
    isInMemory: (runId) => engine.isInMemory(runId),
    clock,
    log,
  });

  const room = (): number => Math.max(0, options.concurrency - (engine.inMemory - engine.waiting));
  const roomFor = (saga: AnySaga): number => {
    const own = saga.concurrency === null ? Infinity : saga.concurrency - engine.countOf(saga.name, saga.version);
    return Math.max(0, Math.min(room(), own));
  };

  async function renew(): Promise<void> {
    const sentAtMs = clock.monotonic();
    try {
      const storeMs = await store.renew(id, leaseMs, engine.isDraining);
      known = { storeMs, ownMs: clock.monotonic() };
      confirmedAtMs = sentAtMs;
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'HF_LEASE_LOST') return end(error);
      // By the own clock: a store that does not answer does not tell that the lease is over either.
      if (isOver()) end(leaseOver(id));
      throw error;
    }
  }

  async function poll(): Promise<number> {
    if (isOver()) {
      end(leaseOver(id));
      return 0;
    }
    if (!pass('saga.collect:before')) return 0;
    // Runs are counted and weighed: a few may hold more than a thousand others.
    const bytes = engine.inMemory === 0 ? MOST_BYTES : MOST_BYTES - engine.bytes;
    engine.crowd(bytes <= 0);
    const open = bytes > 0 ? room() : 0;
    const taken = engine.lookingForMessages();
    const runMessageBytes = Math.max(0, MOST_RUN_MESSAGE_BYTES - engine.runMessageBytes);
    // What came before a timer was due is told before it: so the look begins after that, and the timer is told after the look.
    const lookedAt = now();
    const timers = engine.takeTimers(lookedAt);
    const ids = timers.map((run) => run.id);
    const collected = await store
      .collect(id, { sagas, limit: open, taken, room: { bytes }, runMessageBytes, due: ids })
      .catch((error: unknown) => {
        engine.fireTimers(timers, lookedAt, ids);
        throw error;
      });
    if (!pass('saga.collect:after')) return 0;
    const { runMessages, claimed } = collected;
    for (const each of runMessages) engine.deliver(each);
    engine.fireTimers(timers, lookedAt, collected.unread);
    await engine.take(claimed, lookedAt);
    if (engine.isDraining) return runMessages.length + claimed.length;
    // Each gets its part of the room, so that all together do not take more than there is, and none takes all.
    const part = Math.ceil(room() / registry.all.length);
    const left = engine.inMemory === 0 ? MOST_BYTES : MOST_BYTES - engine.bytes;
    if (left <= 0) return runMessages.length + claimed.length;
    const wanted = registry.all
      .map((saga) => ({ saga: saga.name, version: saga.version, limit: Math.min(part, roomFor(saga)) }))
      .filter(({ limit }) => limit > 0);
    // No claim is under way now, so what is held is in memory.
    const freed = await orphans.look();
    const found = runMessages.length + claimed.length + freed;
    if (wanted.length === 0 || !pass('saga.claim:before')) return found;
    const claimingAt = now();
    const due = await store.claim(id, wanted, { bytes: left });
    if (!pass('saga.claim:after')) return 0;
    await engine.take(due, claimingAt);
    return found + due.length;
  }

  return {
    id,
    engine,
    get room() {
      return room();
    },
    roomFor,
    now,
    renew,
    poll,
    end,
    get over() {
      return over;
    },
  };
}

function offerOf({ name, version }: AnySaga): string {
  return `${name}@${version}`;
}

function leaseOver(id: string): HoldfastError {
  return new HoldfastError('HF_LEASE_LOST', `The lease of worker ${id} is over.`, {
    advice: 'Its runs go on in another worker.',
  });
}
