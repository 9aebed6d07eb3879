/**
 * Taking a shard: its lease, a session under it, and what is owed to the relays before it, of which some may have died of a message.
 */
import { isHoldfastError } from '../../errors.ts';
import type { Acquisition, Lease, OutlivedLease, Taking } from '../subscription/lease-taker.ts';
import { STALLS_BEFORE_CAREFUL_REDRIVE, suspicion } from '../subscription/poison.ts';
import { openSession } from '../subscription/session.ts';
import type { LastPlace } from '../subscription/shard-rows.ts';
import { tellSettled } from '../subscription/tell-settled.ts';
import { HeldShard } from './held-shard.ts';
import type { PageLimit } from './page-limit.ts';
import type { ReadPatience } from './read-patience.ts';
import type { RunnerContext } from './runner-context.ts';
import { suspect } from './suspect.ts';

export type NotAcquired = Exclude<Taking, { kind: 'acquired' }>;

/** The row is gone, and others have the subscription in another number of shards. */
export interface Gone {
  readonly kind: 'gone';
  readonly error: unknown;
}

/**
 * The row of a subscription that runs is gone when somebody has emptied the tables, as test suites do. It is put back where this runner
 * was, for the numbers of the log go on. Where others have the subscription with another number of shards, there is no place for it.
 */
export async function acquireOrRestore(context: RunnerContext, last: LastPlace): Promise<Acquisition | Gone> {
  const { store, key, owner, subscription, log } = context;
  const { leaseMs, failover, shared } = subscription;
  const ask = () => store.acquire(key, { owner, leaseMs, failover, shared });
  try {
    return await ask();
  } catch (error) {
    if (!isHoldfastError(error, 'HF_SUBSCRIPTION_UNKNOWN')) throw error;
    if (!(await store.restore(key, subscription, last))) return { kind: 'gone', error };
    log.error({ high: last.cursor?.high }, 'the row of the subscription was gone (TRUNCATE?); it was put back');
    return ask();
  }
}

/** This process had been taken for dead, with what it was publishing for the cause. Both are set right as far as they can be. */
export async function tellAlive({ database, parking, log }: RunnerContext, outlived: OutlivedLease): Promise<void> {
  const { epoch, counted } = outlived;
  if (counted)
    log.warn({ epoch }, 'stood still for longer than the lease, and lives: the death that was counted is taken back');
  const parked = await parking.noteAlive(database, epoch);
  if (parked > 0)
    log.error(
      { epoch, parked },
      'a message is parked because this relay seemed to have died of it, and lives: publish it again (holdfast parked retry)',
    );
}

/** When to look again at a lease that another relay holds, in milliseconds. Pure. */
export function standbyMs(held: NotAcquired, leaseMs: number, random: () => number): number {
  if (held.kind === 'superseded') return held.retryInMs;
  // When it would end; a little at random, so that standbys do not come all at once; and often enough to notice soon that it was
  // given back.
  return Math.min(held.retryInMs + random() * 100, leaseMs / 10 + random() * 100);
}

export interface TakeoverOptions {
  readonly lease: Lease;
  /** Monotonic time before the lease was asked for. */
  readonly leasedAtMs: number;
  readonly patience: ReadPatience;
  readonly pages: PageLimit;
  /** The hard stop. */
  readonly signal: AbortSignal;
}

/** Opens a session under a lease that was just taken. */
export async function takeOver(context: RunnerContext, options: TakeoverOptions): Promise<HeldShard> {
  const { parking, log } = context;
  const { lease, patience, pages, signal } = options;
  const session = await openSession({ ...context, ...options, readTimeoutMs: patience.timeoutMs });
  tellSettled(log, lease.settled);
  try {
    await suspect(context, { session, lease, signal });
    await parking.releaseOrphans(session.writeClient);
    session.blocked = await parking.blockedKeys(session.writeClient);
    const setAside = await parking.setAside(session.writeClient);
    log.info({ epoch: lease.epoch, high: lease.cursor.high, parkedKeys: session.blocked.size }, 'subscription taken');
    const careful = suspicion(lease) >= STALLS_BEFORE_CAREFUL_REDRIVE;
    return new HeldShard(context, { session, setAside, careful, patience, pages, signal });
  } catch (error) {
    // Nobody else knows of its connections yet.
    await session.close({ release: false }).catch(() => {});
    throw error;
  }
}
