/**
 * Rows as workers leave them, for tests of what operators see and do.
 */
import { randomUUID } from 'node:crypto';
import type { Database } from '../../src/postgres/database.ts';
import type { JournalEvent, RunStatus } from '../../src/saga/journal/events.ts';

export interface SeedRun {
  readonly id?: string;
  readonly saga?: string;
  readonly version?: number;
  readonly key?: string;
  readonly status?: RunStatus;
  readonly reason?: 'failed' | 'cancelled' | 'timed out';
  readonly pivoted?: boolean;
  readonly worker?: string;
  /** Seconds from now; below 0: due. */
  readonly wakeIn?: number;
  readonly startedAgo?: number;
  readonly parent?: { readonly id: string; readonly call: string };
  readonly error?: object;
  /** One row of the journal each, a second apart. */
  readonly journal?: readonly (readonly JournalEvent[])[];
}

export async function seedRun(database: Database, seed: SeedRun = {}): Promise<string> {
  const { id = randomUUID(), saga = 'place-order', version = 1, status = 'running', startedAgo = 60 } = seed;
  const over = status === 'completed' || status === 'compensated';
  await database.query(
    `INSERT INTO holdfast.saga_run (id, saga, version, key, status, reason, pivoted, worker, wake_at, parent, parent_call, error,
       started_at, updated_at, finished_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now() + $9::float8 * interval '1 second', $10, $11, $12,
       now() - $13::float8 * interval '1 second', now(), CASE WHEN $14::boolean THEN now() END)`,
    [
      id,
      saga,
      version,
      seed.key ?? null,
      status,
      seed.reason ?? null,
      seed.pivoted ?? false,
      seed.worker ?? null,
      seed.wakeIn ?? null,
      seed.parent?.id ?? null,
      seed.parent?.call ?? null,
      seed.error === undefined ? null : JSON.stringify(seed.error),
      startedAgo,
      over,
    ],
  );
  const rows = seed.journal ?? [[{ t: 'started', input: { order: 'o-1' } }]];
  for (const [n, events] of rows.entries()) {
    await database.query(
      `INSERT INTO holdfast.saga_journal (saga_id, n, events, at)
       VALUES ($1, $2, $3, now() - ($4::float8 - $2::int) * interval '1 second')`,
      [id, n, JSON.stringify(events), startedAgo],
    );
  }
  return id;
}

export async function seedWorker(
  database: Database,
  name: string,
  {
    sagas = ['place-order@1'],
    leaseIn = 15,
    draining = false,
  }: { sagas?: readonly string[]; leaseIn?: number; draining?: boolean } = {},
): Promise<string> {
  const id = randomUUID();
  await database.query(
    `INSERT INTO holdfast.worker (id, name, sagas, lease_until, draining)
     VALUES ($1, $2, $3, clock_timestamp() + $4::float8 * interval '1 second', $5)`,
    [id, name, JSON.stringify(sagas), leaseIn, draining],
  );
  return id;
}

const gone = { name: 'PermanentError', message: 'no such payment', code: 'HF_PERMANENT' };
const step = (call: string): JournalEvent => ({ t: 'called', call, kind: 'step', step: call });

/** Stuck at compensating `charge`. */
export const STUCK_UNDOING: SeedRun = {
  status: 'stuck',
  reason: 'failed',
  error: gone,
  journal: [
    [{ t: 'started', input: {} }, step('charge')],
    [{ t: 'done', call: 'charge' }, step('ship')],
    [
      { t: 'failed', call: 'ship', attempts: 5, error: gone, outcome: 'definite' },
      { t: 'undoing', reason: 'failed', error: gone },
      { t: 'compensating', call: 'charge', round: 1 },
    ],
    [
      { t: 'compensation failed', call: 'charge', attempt: 20, error: gone },
      { t: 'stuck', why: 'compensation', call: 'charge', error: gone },
    ],
  ],
};

/** Stuck on its way forward: whether its pivot `pay` has happened is not known. */
export const STUCK_IN_DOUBT: SeedRun = {
  status: 'stuck',
  error: gone,
  journal: [
    [
      { t: 'started', input: {} },
      { t: 'called', call: 'pay', kind: 'step', step: 'pay', pivot: true },
    ],
    [{ t: 'stuck', why: 'in doubt', call: 'pay', error: gone }],
  ],
};

export async function emptySagas(database: Database): Promise<void> {
  await database.query(
    'TRUNCATE holdfast.saga_run, holdfast.saga_journal, holdfast.saga_mail, holdfast.worker, holdfast.audit RESTART IDENTITY',
  );
}

export async function runMessagesOf(database: Database): Promise<readonly Record<string, unknown>[]> {
  return (await database.query('SELECT saga_id, kind, body FROM holdfast.saga_mail ORDER BY id')).rows;
}
