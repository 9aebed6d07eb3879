/**
 * The table `subscription`: cursor, lease and probe of every reader of the log. What is done with it stands in files of its own: making
 * its rows (shard-rows.ts), taking a lease (lease-taker.ts), and what is written under one (lease-writes.ts).
 */
import type { Database } from '../../postgres/database.ts';
import type { SubscriptionKey } from './fence.ts';
import { LeaseTaker, type Acquisition, type LeaseRequest } from './lease-taker.ts';
import { createLeaseWrites, type LeaseWrites } from './lease-writes.ts';
import { ensureSubscription, restoreShard, type EnsureOptions, type LastPlace } from './shard-rows.ts';
import type { Superseded } from './shared-settings.ts';

export interface SubscriptionStore extends LeaseWrites {
  /**
   * Creates the rows of a new subscription, or brings an existing one to `shards` when nobody holds it. With other settings than those
   * stored, takes it from whoever holds it, and resolves with these; also with the broker, when that was another one.
   */
  ensure(name: string, options: EnsureOptions): Promise<Superseded | null>;
  /**
   * Puts a shard's row back that has vanished, at its last place, or where a new subscription begins when that is not known. Resolves
   * with false when the subscription is there with another number of shards.
   */
  restore(key: SubscriptionKey, options: EnsureOptions, last: LastPlace): Promise<boolean>;
  /**
   * Takes the lease when it is free, over, or was taken through this store and not given back (who lost its connection, say). A name
   * alone proves nothing: two relays may have been given the same, or one that died may come back under it.
   */
  acquire(key: SubscriptionKey, request: LeaseRequest): Promise<Acquisition>;
}

export function createSubscriptionStore(database: Database): SubscriptionStore {
  const taker = new LeaseTaker(database);
  return {
    ...createLeaseWrites(database.schema),
    ensure: (name, options) => ensureSubscription(database, name, options),
    restore: (key, options, last) => restoreShard(database, key, options, last),
    acquire: (key, request) => taker.acquire(key, request),
  };
}
