/**
 * The fence of a subscription's lease: what stands in statements that only its holder may make, and the error when it is not.
 */
import type { ClientBase } from 'pg';
import { HoldfastError } from '../../errors.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';

export interface SubscriptionKey {
  readonly name: string;
  readonly shard: number;
}

/** Who holds a lease, as a statement needs it: the connection for all that is written under it, and the epoch that proves it. */
export interface LeaseHolder {
  readonly key: SubscriptionKey;
  readonly epoch: number;
  readonly writeClient: ClientBase;
}

/**
 * SQL for a fence inside another statement: a row while the lease is ours, held against takeover until the statement's
 * transaction ends. Takes $1 name, $2 shard, $3 epoch.
 */
export function fenceSql(schema: string): string {
  return `SELECT 1 FROM ${quoteIdentifier(schema)}.subscription
    WHERE name = $1 AND shard = $2 AND lease_epoch = $3 AND lease_owner IS NOT NULL FOR SHARE`;
}

export function subscriptionLeaseLost(key: SubscriptionKey): HoldfastError {
  return new HoldfastError(
    'HF_LEASE_LOST',
    `The lease of subscription '${key.name}' (shard ${key.shard}) went to another relay.`,
    {
      advice:
        'Nothing to do: this relay stands by. If it happens often, the lease is too short for the pauses of this machine.',
      details: { ...key },
    },
  );
}

export function subscriptionGone(key: SubscriptionKey): HoldfastError {
  return new HoldfastError(
    'HF_SUBSCRIPTION_UNKNOWN',
    `There is no subscription '${key.name}' with shard ${key.shard}.`,
    { advice: 'It was dropped, or resharded by another relay; start this relay again.', details: { ...key } },
  );
}
