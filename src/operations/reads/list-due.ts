/**
 * What is due next: messages that were scheduled for later, and runs of sagas that wait for a time. Along the indexes that relays and workers
 * go by themselves.
 */
import { HoldfastError } from '../../errors.ts';
import type { Database } from '../../postgres/database.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import type { RunStatus } from '../../saga/journal/events.ts';
import { ageMs, rows, rowsBySql, tables } from './reads.ts';

/** A message whose time has not come. */
export interface DueMessage {
  readonly id: string;
  readonly topic: string;
  readonly key: string | null;
  readonly dueAt: Date;
  /** By the database's clock; below 0: a relay should have sent it already. */
  readonly dueInMs: number;
}

/** A run that nobody has in memory, until its earliest timer is due: a sleep, a wait, a deadline, the next attempt of a call. */
export interface DueTimer {
  readonly run: string;
  readonly saga: string;
  readonly version: number;
  readonly key: string | null;
  readonly status: RunStatus;
  readonly dueAt: Date;
  readonly dueInMs: number;
}

/** See {@link listDue}. */
export interface NextDue {
  /** The next one first. */
  readonly messages: readonly DueMessage[];
  readonly timers: readonly DueTimer[];
}

/** How many of each {@link listDue} gives. */
export interface ListDueOptions {
  /**
   * 1 to 1000.
   *
   * @defaultValue 50
   */
  readonly limit?: number | undefined;
}

/** Runs that a worker has in memory are not among them: it knows their timers alone. Rejects with HF_CONFIG or HF_OPTION_UNKNOWN. */
export async function listDue(database: Database, options: ListDueOptions = {}): Promise<NextDue> {
  refuseUnknownOptions(options, ['limit'], 'listDue');
  const { limit = 50 } = options;
  if (!Number.isInteger(limit) || limit < 1 || limit > 1_000)
    throw new HoldfastError('HF_CONFIG', `The limit is ${limit}.`, { advice: 'Give a whole number from 1 to 1000.' });
  const [messages, timers] = await Promise.all([dueMessages(database, limit), dueTimers(database, limit)]);
  return { messages, timers };
}

async function dueMessages(database: Database, limit: number): Promise<readonly DueMessage[]> {
  const found = await rows(
    database,
    tables(database)
      .selectFrom('scheduled_message')
      .select(['id', 'topic', 'key', 'due_at', ageMs('due_at').as('past_ms')])
      .orderBy('due_at')
      .orderBy('id')
      .limit(limit),
  );
  return found.map(({ id, topic, key, due_at: dueAt, past_ms: pastMs }) => ({
    id,
    topic,
    key,
    dueAt: new Date(dueAt),
    dueInMs: -pastMs,
  }));
}

/** Skips from one saga and version to the next along the index of what can be claimed: there may be very many that wait. */
async function dueTimers(database: Database, limit: number): Promise<readonly DueTimer[]> {
  const run = `${quoteIdentifier(database.schema)}.saga_run`;
  const free = 'worker IS NULL AND wake_at IS NOT NULL';
  const found = await rowsBySql<{
    id: string;
    saga: string;
    version: number;
    key: string | null;
    status: RunStatus;
    due_ms: number;
    in_ms: number;
  }>(
    database,
    `WITH RECURSIVE kinds (saga, version) AS (
       (SELECT saga, version FROM ${run} WHERE ${free} ORDER BY saga, version LIMIT 1)
       UNION ALL
       SELECT n.saga, n.version FROM kinds k CROSS JOIN LATERAL (
         SELECT saga, version FROM ${run} WHERE ${free} AND (saga, version) > (k.saga, k.version) ORDER BY saga, version LIMIT 1) n)
     SELECT d.id::text AS id, k.saga, k.version, d.key, d.status, (extract(epoch FROM d.wake_at) * 1000)::float8 AS due_ms,
       (extract(epoch FROM d.wake_at - now()) * 1000)::float8 AS in_ms
     FROM kinds k CROSS JOIN LATERAL (
       SELECT id, key, status, wake_at FROM ${run} r WHERE ${free} AND r.saga = k.saga AND r.version = k.version AND wake_at > now()
       ORDER BY wake_at LIMIT $1::int) d
     ORDER BY d.wake_at, d.id LIMIT $1::int`,
    [limit],
  );
  return found.map(({ id, saga, version, key, status, due_ms: dueMs, in_ms: inMs }) => ({
    run: id,
    saga,
    version,
    key,
    status,
    dueAt: new Date(dueMs),
    dueInMs: inMs,
  }));
}
