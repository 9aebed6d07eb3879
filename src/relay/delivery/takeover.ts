/**
 * Taking a shard: its lease, a session under it, and what is owed to the relays before it, of which some may have died of a message.
 */
import { isHoldfastError } from '../../errors.ts';
import { planAfterTakeover, CRASHES_BEFORE_PARKING, STALLS_BEFORE_CAREFUL_REDRIVE } from '../subscription/poison.ts';
import type { Acquisition, Lease } from '../subscription/lease-taker.ts';
import { openSession, type Session } from '../subscription/session.ts';
import type { LastPlace } from '../subscription/shard-rows.ts';
import { tellSettled } from '../subscription/tell-settled.ts';
import { HeldShard } from './held-shard.ts';
import { KILLED } from './parking-store.ts';
import type { PageLimit } from './page-limit.ts';
import type { ReadPatience } from './read-patience.ts';
import type { RunnerContext } from './runner-context.ts';

export type NotAcquired = Exclude<Acquisition, { kind: 'acquired' }>;

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
    await suspect(context, session, lease.stalls);
    await parking.releaseOrphans(session.writeClient);
    session.blocked = await parking.blockedKeys(session.writeClient);
    const setAside = await parking.setAside(session.writeClient);
    log.info({ epoch: lease.epoch, high: lease.cursor.high, parkedKeys: session.blocked.size }, 'subscription taken');
    const careful = lease.stalls >= STALLS_BEFORE_CAREFUL_REDRIVE;
    return new HeldShard(context, { session, setAside, careful, patience, pages, signal });
  } catch (error) {
    // Nobody else knows of its connections yet.
    await session.close({ release: false }).catch(() => {});
    throw error;
  }
}

/** After takeovers without progress: smaller batches, and at last the culprit parked. */
async function suspect(context: RunnerContext, session: Session, stalls: number): Promise<void> {
  const { subscription, parking, log, crashPoint } = context;
  const plan = planAfterTakeover(stalls, session.probe, subscription.batchSize);
  if (plan.kind === 'normal') return;
  session.probe = plan.probe;
  log.warn({ stalls, size: plan.probe.size }, 'relays died here repeatedly: probing for the message that kills them');
  if (plan.kind === 'probe') return;
  // Not read whole: it may be its size that kills.
  const culprit = await session.reader.identify(plan.seq);
  crashPoint('relay.park:before');
  await parking.park(session, [
    {
      seq: plan.seq,
      state: 'failed',
      reason: KILLED,
      error: null,
      attempts: CRASHES_BEFORE_PARKING,
      retryInMs: null,
    },
  ]);
  crashPoint('relay.park:after');
  log.error({ seq: plan.seq, messageId: culprit?.id, topic: culprit?.topic }, 'message parked: it killed the relay');
}
