/**
 * What a relay does before it runs: checks the database, and makes the rows of its subscriptions.
 */
import { askingAgain } from '../postgres/asking-again.ts';
import type { Database } from '../postgres/database.ts';
import { refuseTransactionPooler } from '../postgres/pooler.ts';
import { checkStart } from '../postgres/start-checks.ts';
import type { Logger } from '../runtime/log.ts';
import type { ResolvedSubscription } from './subscription/options.ts';
import { differences, type Superseded } from './subscription/shared-settings.ts';
import type { SubscriptionStore } from './subscription/subscription-store.ts';

export interface PrepareOptions {
  readonly database: Database;
  readonly store: SubscriptionStore;
  readonly subscriptions: readonly ResolvedSubscription[];
  readonly log: Logger;
}

/** Rejects with HF_SCHEMA_MISSING, HF_DATABASE_POOLED, HF_SHARDS_MISMATCH or HF_LOCK_WAIT. */
export async function prepareRelay({ database, store, subscriptions, log }: PrepareOptions): Promise<void> {
  await checkStart(database, log);
  await refuseTransactionPooler(database, 'The relay');
  for (const subscription of subscriptions) {
    const { name, transport } = subscription;
    const superseded = await askingAgain(log, () => store.ensure(name, { ...subscription, broker: transport.address }));
    if (superseded !== null) tellSuperseded(log, subscription, superseded);
  }
}

function tellSuperseded(
  log: Logger,
  { name, transport, shared }: ResolvedSubscription,
  { before, broker, held }: Superseded,
): void {
  if (broker !== null)
    log.warn(
      { subscription: name, broker: transport.address, before: broker },
      'the last relay of this subscription was told another broker: what it published there is received there only',
    );
  if (before === null) return;
  log.warn(
    { subscription: name, changed: differences(before, shared) },
    held
      ? 'another relay ran this subscription with other settings: it is taken over with these'
      : 'the settings of this subscription have changed: relays with those of before do not take it any more',
  );
}
