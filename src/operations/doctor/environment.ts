/**
 * Taking over tables that came from another place: after a restore, a move, or for a copy that is to live on its own.
 */
import { sql } from 'kysely';
import { judgeEnvironment } from '../../postgres/environment.ts';
import type { Act } from '../../postgres/audit.ts';
import type { Database } from '../../postgres/database.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import type { Check } from './finding.ts';
import { audited } from '../parked/interventions.ts';
import { firstRow, rowsBySql, tables } from '../reads/reads.ts';
import { relayStatus } from '../relay/relay-status.ts';

/** What {@link adopt} has done. */
export interface Adopted {
  /** The name they had, and the one they have now; null: known by their place alone. */
  readonly before: string | null;
  readonly name: string | null;
  /** What goes on here now, as soon as a relay and a worker are started. */
  readonly pending: {
    readonly messages: number;
    readonly scheduled: number;
    readonly parked: number;
    readonly runs: number;
  };
}

/**
 * Says that all goes on here, under the configured name or by this place. Also ends the wait of subscriptions with
 * `failoverReplay: 'hold'`. Rejects with HF_SCHEMA_MISSING, HF_PERMISSION or HF_DATABASE_UNAVAILABLE.
 */
export async function adopt(database: Database, act: Act): Promise<Adopted> {
  const name = database.environment ?? null;
  const [status, runs] = await Promise.all([relayStatus(database), unfinishedRuns(database)]);
  const parked = [...status.subscriptions.map((each) => each.parked), ...status.consumers];
  const pending = {
    messages: Math.max(0, ...status.subscriptions.map(({ behind }) => behind)),
    scheduled: status.scheduled.count,
    parked: parked.reduce((sum, { failed, behind, dead }) => sum + failed + behind + dead, 0),
    runs,
  };
  const table = `${quoteIdentifier(database.schema)}.environment`;
  const before = await audited(database, async (client, audit) => {
    const found = await client.query<{ name: string | null }>(`SELECT name FROM ${table} FOR UPDATE`);
    await client.query(
      `INSERT INTO ${table} AS e (name, system_identifier, database, timeline)
       SELECT $1::text, c.system_identifier, d.oid, ${quoteIdentifier(database.schema)}.server_timeline()
       FROM pg_control_system() c, pg_database d WHERE d.datname = current_database()
       ON CONFLICT (single) DO UPDATE SET name = excluded.name, system_identifier = excluded.system_identifier,
         database = excluded.database, timeline = excluded.timeline, since = now()`,
      [name],
    );
    const previous = found.rows[0]?.name ?? null;
    await audit({
      ...act,
      action: 'environment.adopt',
      subject: name ?? 'this place',
      details: { before: previous, pending },
    });
    return previous;
  });
  return { before, name, pending };
}

async function unfinishedRuns(database: Database): Promise<number> {
  const row = await firstRow(
    database,
    tables(database)
      .selectFrom('saga_run')
      .where('finished_at', 'is', null)
      .select(sql<string | number>`count(*)`.as('count')),
  );
  return Number(row?.count ?? 0);
}

/** The doctor's look: whether a relay or a worker would be refused here. */
export const checkEnvironment: Check = async (database) => {
  const table = `${quoteIdentifier(database.schema)}.environment`;
  const found = await rowsBySql<{ name: string | null; same_place: boolean }>(
    database,
    `SELECT e.name, (e.system_identifier, e.database) = (c.system_identifier, d.oid) AS same_place
     FROM ${table} e, pg_control_system() c, pg_database d WHERE d.datname = current_database()`,
  );
  const given = database.environment ?? null;
  return found.flatMap(({ name, same_place: samePlace }) => {
    const refusal = judgeEnvironment({ given, stored: name, samePlace });
    if (refusal === null) return [];
    return [
      {
        level: 'error' as const,
        check: 'schema.environment' as const,
        what: refusal.message,
        advice: refusal.advice ?? '',
        repair: "holdfast adopt --reason '…'",
      },
    ];
  });
};
