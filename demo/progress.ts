/**
 * How far things are, read from the tables while the demo runs.
 */
import type { Databases } from './audit/books.ts';
import { SERVICES } from './services/all.ts';
import { SERVICE_NAMES } from './world.ts';

export interface Progress {
  readonly placed: number;
  /** Runs by what they are doing. */
  readonly fresh: number;
  readonly running: number;
  /** For an answer, mostly. */
  readonly waiting: number;
  readonly compensating: number;
  readonly completed: number;
  readonly compensated: number;
  readonly stuck: number;
  /** Messages sent, and effects in the ledgers: they tell whether anything moves. */
  readonly sent: number;
  readonly effects: number;
  /** Run messages that no run has taken in. */
  readonly runMessages: number;
  /** Messages that a relay or a consumer has given up on. */
  readonly parked: number;
}

export async function readProgress(databases: Databases): Promise<Progress> {
  let [sent, effects, parked] = [0, 0, 0];
  for (const name of SERVICE_NAMES) {
    const { rows } = await databases[name].query<{ sent: number; effects: number; parked: number }>(
      `SELECT (SELECT count(*) FROM holdfast.outbox)::integer AS sent,
         (SELECT count(*) FROM ${SERVICES[name].ledger})::integer AS effects,
         ((SELECT count(*) FROM holdfast.parked_message) + (SELECT count(*) FROM holdfast.parked_delivery))::integer AS parked`,
    );
    sent += rows[0]?.sent ?? 0;
    effects += rows[0]?.effects ?? 0;
    parked += rows[0]?.parked ?? 0;
  }
  const { rows: runs } = await databases.orders.query<{ status: string; count: number }>(
    'SELECT status, count(*)::integer AS count FROM holdfast.saga_run GROUP BY status',
  );
  const count = (status: string): number => runs.find((row) => row.status === status)?.count ?? 0;
  const { rows: orders } = await databases.orders.query<{ placed: number; runMessages: number }>(
    'SELECT (SELECT count(*) FROM orders)::integer AS placed, (SELECT count(*) FROM holdfast.saga_mail)::integer AS "runMessages"',
  );
  return {
    placed: orders[0]?.placed ?? 0,
    fresh: count('pending'),
    running: count('running'),
    waiting: count('waiting'),
    compensating: count('compensating'),
    completed: count('completed'),
    compensated: count('compensated'),
    stuck: count('stuck'),
    sent,
    effects,
    runMessages: orders[0]?.runMessages ?? 0,
    parked,
  };
}

/** Runs that have come to one of their ends. */
export function ended({ completed, compensated }: Progress): number {
  return completed + compensated;
}
