/**
 * Where messages go and come from, as far as one database knows: by the relays that have run on it, and by the consumers whose inbox it keeps.
 */
import type { Database } from '../../postgres/database.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { classifySqlError } from '../../postgres/sql-state.ts';
import { rowsBySql } from '../reads/reads.ts';

/** As the process of it that was started last has it. */
export interface KnownConsumer {
  readonly consumer: string;
  readonly queues: readonly string[];
  readonly retentionMs: number;
}

/** As the relay that was started last has it. */
export interface KnownSubscription {
  readonly name: string;
  readonly retentionMs: number | null;
  /** Queues; null: not known. */
  readonly destinations: readonly string[] | null;
}

export async function knownSubscriptions(database: Database): Promise<readonly KnownSubscription[]> {
  return rowsBySql<KnownSubscription>(
    database,
    `SELECT name, (extract(epoch FROM retention) * 1000)::float8 AS "retentionMs",
       (SELECT array_agg(DISTINCT route ->> 'to') FROM jsonb_array_elements(
         CASE WHEN jsonb_typeof(settings -> 'routes') = 'array' THEN settings -> 'routes' ELSE '[]' END) AS route) AS destinations
     FROM ${quoteIdentifier(database.schema)}.subscription WHERE shard = 0 ORDER BY name`,
  );
}

export async function knownConsumers(database: Database): Promise<readonly KnownConsumer[]> {
  const rows = await rowsBySql<{ readonly consumer: string; readonly identity: string }>(
    database,
    `SELECT consumer, identity FROM ${quoteIdentifier(database.schema)}.delivery_attempt
     WHERE identity IS NOT NULL AND message_id = '00000000-0000-0000-0000-000000000001' ORDER BY consumer`,
  );
  return rows.map(({ consumer, identity }) => {
    const { queues, retentionMs } = JSON.parse(identity) as Omit<KnownConsumer, 'consumer'>;
    return { consumer, queues, retentionMs };
  });
}

/** Names of all queues that are published to or read. None for a role that may not read the tables, and where there are none. */
export async function knownDestinations(database: Database): Promise<readonly string[]> {
  try {
    const [subscriptions, consumers] = await Promise.all([knownSubscriptions(database), knownConsumers(database)]);
    const sent = subscriptions.flatMap(({ destinations }) => destinations ?? []);
    return [...new Set([...sent, ...consumers.flatMap(({ queues }) => queues)])].toSorted();
  } catch (error) {
    if (['schema', 'permission'].includes(classifySqlError(error))) return [];
    throw error;
  }
}
