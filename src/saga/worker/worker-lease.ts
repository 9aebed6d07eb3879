/**
 * The lease of a worker, and the time of the store as the worker knows it. Both are told by the own monotonic clock from the answers of
 * the store, so that a store which does not answer does not prolong anything.
 */
import { randomUUID } from 'node:crypto';
import { HoldfastError } from '../../errors.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { WorkerStore } from '../store/store.ts';
import type { LeaseKeeper } from './lease-keeper.ts';

export interface WorkerLeaseOptions {
  readonly store: WorkerStore;
  /** For how long it is taken. */
  readonly leaseMs: number;
  /** For how long the keeper prolongs it. */
  readonly keptMs: number;
  readonly clock: Clock;
  /** What else prolongs the lease. */
  readonly keeper: LeaseKeeper | null;
}

export class WorkerLease {
  readonly id = randomUUID();
  readonly #options: WorkerLeaseOptions;
  /** The store's time at a moment of our own clock. The answer was given before it arrived, so this is never ahead. */
  #storeMs = 0;
  #ownMs = 0;
  #confirmedAtMs: number;
  #leaseMs: number;

  constructor(options: WorkerLeaseOptions) {
    this.#options = options;
    this.#confirmedAtMs = options.clock.monotonic();
    this.#leaseMs = options.leaseMs;
  }

  async register(worker: Omit<Parameters<WorkerStore['register']>[0], 'id' | 'leaseMs'>): Promise<void> {
    const { store, leaseMs } = this.#options;
    this.#learn(await store.register({ ...worker, id: this.id, leaseMs }));
  }

  /** The store's time, never ahead of it. */
  now(): number {
    return this.#storeMs + (this.#options.clock.monotonic() - this.#ownMs);
  }

  /** By the own clock; a keeper may have prolonged it while the event loop stood still. */
  get isOver(): boolean {
    const { clock, keptMs, keeper } = this.#options;
    const sinceMs = clock.monotonic() - this.#confirmedAtMs;
    return sinceMs >= this.#leaseMs && (keeper?.sinceKeptMs() ?? Infinity) >= keptMs;
  }

  /** Prolongs it, for so long from now. Rejects with what the store rejects with. `draining`: as in WorkerStore. */
  async renew(draining: boolean, leaseMs: number): Promise<void> {
    const { store, clock } = this.#options;
    // A shorter one may hold from now on, heard of or not.
    this.#leaseMs = Math.min(this.#leaseMs, leaseMs);
    const sentAtMs = clock.monotonic();
    this.#learn(await store.renew(this.id, leaseMs, draining));
    this.#confirmedAtMs = sentAtMs;
    this.#leaseMs = leaseMs;
  }

  #learn(storeMs: number): void {
    this.#storeMs = storeMs;
    this.#ownMs = this.#options.clock.monotonic();
  }
}

export function leaseOver(id: string): HoldfastError {
  return new HoldfastError('HF_LEASE_LOST', `The lease of worker ${id} is over.`, {
    advice: 'Its runs go on in another worker.',
  });
}
