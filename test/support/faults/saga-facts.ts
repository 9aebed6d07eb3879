/**
 * What the tables and the ledger say of the runs of a test, gathered at its end for the judge (saga-checker.ts). Triggers note, beside
 * every row of the journal, when the database itself stored it and whether the worker that had the run was still alive.
 */
import type pg from 'pg';
import type { Saga } from '../../../src/saga/definition/definition.ts';
import type { JournalEvent, JournalRow, RunStatus, CompensationReason } from '../../../src/saga/journal/events.ts';
import { createFlow } from '../../../src/saga/replay/flow.ts';
import { replay } from '../../../src/saga/replay/replay.ts';
import { turn } from '../../../src/saga/replay/turn.ts';
import { inSnapshot, type Queryable } from './checker.ts';
import type { OutsideEntry } from './saga-outside.ts';

export interface StoredRow extends JournalRow {
  /** When the database stored it, in milliseconds since the epoch. */
  readonly storedAt: number;
  /** Whether the worker that has the run was registered then. `none`: nobody had it. */
  readonly holder: 'alive' | 'gone' | 'none';
}

export interface TamperedRow extends Pick<JournalRow, 'n' | 'events'> {
  readonly act: 'UPDATE' | 'DELETE';
  readonly run: string;
}

export interface RunFacts {
  readonly id: string;
  readonly status: RunStatus;
  readonly reason: CompensationReason | null;
  readonly held: boolean;
  readonly journal: readonly StoredRow[];
}

/** A row that a transactional step or the participant wrote. */
export interface RowEffect {
  readonly what: 'do' | 'compensate';
  readonly run: string;
  readonly call: string;
  readonly amount: number;
}

export interface SagaFacts {
  readonly runs: readonly RunFacts[];
  /** In the order of writing, as the entries outside. */
  readonly effects: readonly RowEffect[];
  readonly outside: readonly OutsideEntry[];
  /** What was emitted, by run and topic. */
  readonly messages: readonly { readonly topic: string; readonly run: string }[];
  /** Rows of the journal that were changed or deleted, as they were before. */
  readonly tampered: readonly TamperedRow[];
  /** Histories that the code does not repeat, in words. */
  readonly mismatches: readonly string[];
  /** What somebody should have finished, in words. */
  readonly unfinished: readonly string[];
}

export const WITNESS = `
  CREATE TABLE fault_witness (run uuid, n integer, at timestamptz, holder text, PRIMARY KEY (run, n));
  CREATE TABLE fault_tampered (act text, run uuid, n integer, events json);
  CREATE FUNCTION fault_witness() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'INSERT' THEN
      INSERT INTO public.fault_witness SELECT NEW.saga_id, NEW.n, clock_timestamp(),
        CASE WHEN r.worker IS NULL THEN 'none' WHEN EXISTS (SELECT 1 FROM holdfast.worker w WHERE w.id = r.worker) THEN 'alive' ELSE 'gone' END
        FROM holdfast.saga_run r WHERE r.id = NEW.saga_id;
    ELSE
      INSERT INTO public.fault_tampered VALUES (TG_OP, OLD.saga_id, OLD.n, OLD.events);
    END IF;
    RETURN NULL;
  END $$;
  CREATE TRIGGER fault_witness AFTER INSERT OR UPDATE OR DELETE ON holdfast.saga_journal FOR EACH ROW EXECUTE FUNCTION fault_witness()`;

/** What is not at its end, in words: empty when everybody is done. Runs that are stuck are at an end of a kind. */
export async function unfinishedRuns(client: Queryable): Promise<readonly string[]> {
  const { rows } = await client.query<{ what: string }>(`
    SELECT format('run %s is %s', id, status) AS what FROM holdfast.saga_run WHERE status NOT IN ('completed', 'compensated', 'stuck')
    UNION ALL SELECT format('run %s is %s and has a worker', id, status) FROM holdfast.saga_run
      WHERE worker IS NOT NULL AND status IN ('completed', 'compensated', 'stuck')
    UNION ALL SELECT format('%s for run %s lies there', kind, saga_id) FROM holdfast.saga_mail`);
  return rows.map(({ what }) => what);
}

export async function collectSagaFacts(
  pool: pg.Pool,
  sagas: readonly Saga[],
  outside: readonly OutsideEntry[],
): Promise<SagaFacts> {
  const facts = await inSnapshot(pool, (client) => factsIn(client, outside));
  const mismatches: string[] = [];
  for (const run of facts.runs) {
    const saga = sagas.find(({ name, version }) => name === run.saga && version === run.version);
    const mismatch = saga === undefined ? 'there is no code for it' : await mismatchOf(saga, run);
    if (mismatch !== null) mismatches.push(`${run.id}: ${mismatch}`);
  }
  return { ...facts, mismatches };
}

/** Why the code does not do again what the journal says it did; null: it does, and asks for nothing else. */
export async function mismatchOf(saga: Saga, run: Pick<RunFacts, 'id' | 'journal'>): Promise<string | null> {
  const started = run.journal[0]?.events[0];
  const input = started?.t === 'started' ? started.input : undefined;
  const make = () => createFlow({ saga, runId: run.id, input: structuredClone(input), maxBytes: 1_048_576 });
  const { fit } = await replay(saga, make, run.journal, turn);
  return fit.kind === 'mismatch' ? fit.error.message : null;
}

interface RunRow extends Omit<RunFacts, 'journal'> {
  readonly saga: string;
  readonly version: number;
}

async function factsIn(
  client: Queryable,
  outside: readonly OutsideEntry[],
): Promise<Omit<SagaFacts, 'runs' | 'mismatches'> & { readonly runs: readonly (RunRow & RunFacts)[] }> {
  const rows = async <T extends pg.QueryResultRow>(sql: string) => (await client.query<T>(sql)).rows;
  const runs = await rows<RunRow>(
    'SELECT id::text, saga, version, status, reason, worker IS NOT NULL AS held FROM holdfast.saga_run ORDER BY id',
  );
  const journal = await rows<{
    run: string;
    n: number;
    at: number;
    storedAt: number;
    holder: StoredRow['holder'];
    events: JournalEvent[];
  }>(
    `SELECT j.saga_id::text AS run, j.n, round(extract(epoch FROM j.at) * 1000)::float8 AS at,
       extract(epoch FROM w.at)::float8 * 1000 AS "storedAt", w.holder, j.events
     FROM holdfast.saga_journal j LEFT JOIN fault_witness w ON w.run = j.saga_id AND w.n = j.n ORDER BY j.saga_id, j.n`,
  );
  const byRun = grouped(journal);
  const effects = await rows<RowEffect>('SELECT what, run::text, call, amount FROM fault_effect ORDER BY position');
  const messages = await rows<{ topic: string; run: string }>(
    `SELECT topic, headers ->> 'correlationid' AS run FROM holdfast.outbox ORDER BY seq`,
  );
  const tampered = await rows<TamperedRow>('SELECT act, run::text, n, events FROM fault_tampered');
  return {
    runs: runs.map((run) => ({ ...run, journal: byRun.get(run.id) ?? [] })),
    effects,
    outside,
    messages,
    tampered,
    unfinished: await unfinishedRuns(client),
  };
}

function grouped<T extends { readonly run: string }>(rows: readonly T[]): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>();
  for (const row of rows) {
    const group = groups.get(row.run);
    if (group === undefined) groups.set(row.run, [row]);
    else group.push(row);
  }
  return groups;
}
