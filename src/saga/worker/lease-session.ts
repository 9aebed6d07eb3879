/**
 * A lease session: from the registration of a worker to the end of its lease, with the runs it has in memory. When the lease is lost the
 * session is over, what is under way in it belongs to nobody, and the worker opens a new one.
 */
import { HoldfastError } from '../../errors.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import type { Logger } from '../../runtime/log.ts';
import { backoffMs, RECONNECT } from '../../runtime/retry.ts';
import type { Limits } from '../engine/step-attempt.ts';
import type { RunSettings } from '../run/run-settings.ts';
import type { AnySaga, Registry } from '../definition/definition.ts';
import { createStepExecutor } from '../engine/step-executor.ts';
import { Engine } from '../engine/engine.ts';
import type { Run } from '../run/run.ts';
import type { SagaVersion, ShownSettings, WorkerStore } from '../store/store.ts';
import type { LeaseKeeper } from './lease-keeper.ts';
import { WorkerLease, leaseOver } from './worker-lease.ts';
import { createOrphanWatch, type OrphanWatch } from './orphans.ts';
import { RunCapacity } from './run-capacity.ts';
import { sagaFingerprint } from './saga-fingerprint.ts';

export interface LeaseSessionOptions {
  readonly store: WorkerStore;
  readonly name: string;
  readonly registry: Registry;
  readonly leaseMs: number;
  /** For how long the keeper prolongs the lease, in milliseconds. */
  readonly keptMs: number;
  /** Of sessions before, as in WorkerStore. */
  readonly lapsed: readonly string[];
  /** Most runs in memory that do not just wait. */
  readonly concurrency: number;
  readonly mostWaiting: number;
  readonly settings: RunSettings;
  readonly shown?: ShownSettings | undefined;
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

/** Registers a worker, or rejects. */
export async function openLeaseSession(options: LeaseSessionOptions): Promise<LeaseSession> {
  const { registry, name, settings, shown, lapsed } = options;
  const codes = Object.fromEntries(registry.all.map((saga) => [offerOf(saga), sagaFingerprint(saga)]));
  const lease = new WorkerLease(options);
  await lease.register({
    name,
    sagas: versionsOf(registry),
    codes,
    maxBytes: settings.maxBytes,
    limits: settings,
    lapsed,
    ...(shown === undefined ? {} : { shown }),
  });
  options.keeper?.keep(lease.id);
  return new LeaseSession(options, lease, codes);
}

export class LeaseSession {
  readonly engine: Engine;
  readonly #options: LeaseSessionOptions;
  readonly #lease: WorkerLease;
  readonly #capacity: RunCapacity;
  readonly #orphans: OrphanWatch;
  readonly #sagas: readonly SagaVersion[];
  #over = false;

  constructor(options: LeaseSessionOptions, lease: WorkerLease, codes: Readonly<Record<string, string>>) {
    this.#options = options;
    this.#lease = lease;
    this.#sagas = versionsOf(options.registry);
    this.engine = this.#createEngine(codes);
    this.#capacity = new RunCapacity(this.engine, options.registry, options.concurrency);
    this.#orphans = createOrphanWatch({
      ...options,
      workerId: lease.id,
      isInMemory: (runId) => this.engine.isInMemory(runId),
    });
  }

  get id(): string {
    return this.#lease.id;
  }

  get over(): boolean {
    return this.#over;
  }

  /** How many more runs may be taken up. */
  get room(): number {
    return this.#capacity.runs;
  }

  /** How many more of one saga. */
  roomFor(saga: AnySaga): number {
    return this.#capacity.runsOf(saga);
  }

  /** The store's time, never ahead of it. */
  now(): number {
    return this.#lease.now();
  }

  /** Prolongs the lease, for so long from now; ends the life when it cannot be done in time. */
  async renew(leaseMs: number): Promise<void> {
    try {
      await this.#lease.renew(this.engine.isDraining, leaseMs);
      this.engine.recordAttempts();
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'HF_LEASE_LOST') return this.end(error);
      // By the own clock: a store that does not answer does not tell that the lease is over either.
      if (this.#lease.isOver) this.end(leaseOver(this.id));
      throw error;
    }
  }

  /**
   * Hands a reply to its run in memory; its body is given as JSON. Resolves with whether that is recorded, durably; null at once when it
   * cannot be.
   */
  takeReply(runId: string, text: string): Promise<boolean> | null {
    // Its commits would be refused; so it is not worth waiting for one.
    if (this.#over || this.#lease.isOver || text.length > this.#capacity.messageBytes) return null;
    return this.engine.takeReply(runId, text);
  }

  /** Claims what is due and collects run messages. Resolves with how much came of it. */
  async poll(): Promise<number> {
    if (this.#lease.isOver) {
      this.end(leaseOver(this.id));
      return 0;
    }
    if (!this.#pass('saga.collect:before')) return 0;
    const collected = await this.#collect();
    if (collected === null) return 0;
    const { bytes } = this.#capacity;
    if (this.engine.isDraining || bytes <= 0) return collected;
    const wanted = this.#capacity.shares();
    // No claim is under way now, so what is held is in memory.
    const found = collected + (await this.#orphans.look());
    if (wanted.length === 0 || !this.#pass('saga.claim:before')) return found;
    const claimingAt = this.now();
    const due = await this.#options.store.claim(this.id, wanted, { bytes });
    if (!this.#pass('saga.claim:after')) return 0;
    await this.engine.take(due, claimingAt);
    return found + due.length;
  }

  /** Takes in run messages, the runs that have some, and timers that are due. Null: the life is over. */
  async #collect(): Promise<number | null> {
    const { engine } = this;
    const { bytes, messageBytes: runMessageBytes } = this.#capacity;
    engine.crowd(bytes <= 0);
    const limit = bytes > 0 ? this.#capacity.runs : 0;
    const taken = engine.lookingForMessages();
    // What came before a timer was due is told before it: so the look begins after that, and the timer is told after the look.
    const lookedAt = this.now();
    const timers = engine.takeTimers(lookedAt);
    const due = timers.map((run) => run.id);
    const { runMessages, claimed, unread } = await this.#options.store
      .collect(this.id, { sagas: this.#sagas, limit, taken, room: { bytes }, runMessageBytes, due })
      .catch((error: unknown) => {
        engine.fireTimers(timers, lookedAt, due);
        throw error;
      });
    if (!this.#pass('saga.collect:after')) return null;
    for (const each of runMessages) engine.deliver(each);
    engine.fireTimers(timers, lookedAt, unread);
    await engine.take(claimed, lookedAt);
    return runMessages.length + claimed.length;
  }

  end(error: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#options.keeper?.keep(null);
    this.engine.die(error);
    this.#options.onOver(error);
  }

  /** Passes a crash point. Returns whether the life goes on. */
  #pass(point: string): boolean {
    if (this.#over) return false;
    // A process that was stopped and goes on must not begin anything before it has looked whether it is still meant to.
    if (this.#lease.isOver) {
      this.end(leaseOver(this.id));
      return false;
    }
    try {
      this.#options.crashPoint(point);
    } catch (error) {
      // What a test's crash point throws is the death of the worker: nothing of it is heard of again.
      this.#break(error);
    }
    return !this.#over;
  }

  #break(error: unknown): void {
    this.end(error instanceof Error ? error : new Error(String(error)));
  }

  #createEngine(codes: Readonly<Record<string, string>>): Engine {
    const { store, clock, log, random, keeper, limits, settings } = this.#options;
    const now = (): number => this.#lease.now();
    const pass = (point: string): boolean => this.#pass(point);
    const onBroken = (error: unknown): void => this.#break(error);
    const own = { workerId: this.#lease.id, now, pass, onBroken };
    return new Engine({
      ...this.#options,
      ...own,
      settings: { ...settings, log, onHeld: (holder) => keeper?.held(holder) },
      codeOf: (saga) => codes[offerOf(saga)] ?? '',
      pause: (failures) => clock.sleep(backoffMs(RECONNECT, failures, random)),
      createExecutor: (engine) =>
        createStepExecutor({
          ...own,
          store,
          clock,
          limits,
          random,
          tell: (run, runEvent) => engine.tell(run, runEvent),
          quiet: (run) => engine.quiet(run),
        }),
    });
  }
}

function versionsOf(registry: Registry): readonly SagaVersion[] {
  return registry.all.map(({ name, version }) => ({ saga: name, version }));
}

function offerOf({ name, version }: AnySaga): string {
  return `${name}@${version}`;
}
