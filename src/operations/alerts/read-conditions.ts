/**
 * What is wrong in one area, read as `holdfast status` and /metrics read it. The builder of queries comes with the first look, so that
 * whoever only makes alerts has not loaded it.
 */
import type { Database } from '../../postgres/database.ts';
import type { AlertArea, Condition } from './alert.ts';
import { consumerConditions, relayConditions, sagaConditions, type AlertThresholds } from './conditions.ts';

/** Rejects with HF_PERMISSION for a role that may not read the area (docs/roles.md). */
export async function readConditions(
  database: Database,
  area: AlertArea,
  thresholds: AlertThresholds,
): Promise<readonly Condition[]> {
  if (area === 'sagas') {
    const { sagaHealth } = await import('../sagas/saga-status.ts');
    return sagaConditions(await sagaHealth(database), thresholds);
  }
  const { parkedByConsumers, subscriptionStatuses } = await import('../relay/relay-status.ts');
  if (area === 'consumers') return consumerConditions(await parkedByConsumers(database));
  return relayConditions(await subscriptionStatuses(database), thresholds);
}
