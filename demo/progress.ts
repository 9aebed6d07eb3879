/**
 * How far things are, read from the tables: what the outboxes hold, and what the ledgers of their readers show. Used by main.ts.
 */
import type { Database } from '../src/index.ts';
import { readersOf } from './messages.ts';
import { SERVICES } from './services/all.ts';
import { SERVICE_NAMES, type ServiceName } from './world.ts';

export type Databases = Readonly<Record<ServiceName, Database>>;

export interface Progress {
  /** Messages in all outboxes, by topic. */
  readonly sent: Readonly<Record<string, number>>;
  /** Orders that were placed, and those that have come to their end. */
  readonly placed: number;
  readonly settled: number;
  /** Effects there should be for what was sent, and those there are. */
  readonly due: number;
  readonly done: number;
  /** Messages that a relay or a consumer has given up on. */
  readonly parked: number;
}

export async function readProgress(databases: Databases): Promise<Progress> {
  const sent: Record<string, number> = {};
  const done: Record<string, number> = {};
  let parked = 0;
  // The ledgers first: what they lack may have come since, but what they show was sent before.
  for (const name of SERVICE_NAMES) {
    const { rows } = await databases[name].query<{ done: number; parked: number }>(
      `SELECT (SELECT count(*) FROM ${SERVICES[name].ledger})::integer AS done,
         ((SELECT count(*) FROM holdfast.parked_message) + (SELECT count(*) FROM holdfast.parked_delivery))::integer AS parked`,
    );
    done[name] = rows[0]!.done;
    parked += rows[0]!.parked;
  }
  for (const name of SERVICE_NAMES) {
    const { rows } = await databases[name].query<{ topic: string; count: number }>(
      'SELECT topic, count(*)::integer AS count FROM holdfast.outbox GROUP BY topic',
    );
    for (const { topic, count } of rows) sent[topic] = count;
  }
  const due = Object.entries(sent).reduce((sum, [topic, count]) => sum + count * readersOf(topic).length, 0);
  const all = Object.values(done).reduce((sum, count) => sum + count, 0);
  return { sent, placed: sent['order.placed'] ?? 0, settled: done['orders'] ?? 0, due, done: all, parked };
}
