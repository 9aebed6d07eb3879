/**
 * Which topics the subscriptions have routes for, as the relays that started last noted them: what is published again or retried
 * without one would go nowhere.
 */
import type { Database } from '../../postgres/database.ts';
import { rows, tables } from './reads.ts';

/** By subscription, the topic patterns of its routes; null: not known, for no relay has started since they are noted. */
export async function routedTopics(database: Database): Promise<ReadonlyMap<string, readonly string[] | null>> {
  const query = tables(database).selectFrom('subscription').select(['name', 'topics']).where('shard', '=', 0);
  return new Map((await rows(database, query.orderBy('name'))).map(({ name, topics }) => [name, topics]));
}
