/**
 * A row of the table `subscription`, and the cursor in it.
 */
import { quoteIdentifier } from '../../postgres/quoting.ts';
import type { Cursor } from '../log/cursor.ts';
import type { ProbeState } from './poison.ts';

export interface SubscriptionRow {
  readonly snapshot: string;
  readonly high: string;
  readonly catchup: string | null;
  readonly catchup_seq: string | null;
  readonly floor: string;
  readonly lease_epoch: string;
  readonly stalls: number;
  /** See Lease. */
  readonly lapsed: readonly number[];
  readonly probe: ProbeState | null;
  readonly published: string;
  /** The cursor was stored in this very cluster. */
  readonly same_cluster: boolean;
  /** The timeline in which it was stored, and that of this server; null: not known. */
  readonly timeline: number | null;
  readonly timeline_here: number | null;
  /** Cluster and timeline of this server. */
  readonly server: string;
  /** When the cursor was moved last, in milliseconds since the epoch. */
  readonly advanced_ms: number | null;
  /** The last number that the sequence of the log gave out, and the highest in the log. */
  readonly drawn: string;
  readonly newest: string | null;
}

/** What to select, or to have returned, for a SubscriptionRow. */
export function subscriptionColumns(schema: string): string {
  const s = quoteIdentifier(schema);
  return `snapshot::text, high, catchup::text, catchup_seq, floor, lease_epoch, stalls, probe, published, timeline,
    coalesce(to_jsonb(lapsed_epochs), '[]') AS lapsed,
    extract(epoch FROM advanced_at)::float8 * 1000 AS advanced_ms,
    ${s}.server_timeline() AS timeline_here, ${serverSql(schema)} AS server,
    system_identifier = (SELECT system_identifier FROM pg_control_system()) AS same_cluster,
    (SELECT max(seq) FROM ${s}.outbox) AS newest,
    (SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM ${s}.outbox_seq_seq) AS drawn`;
}

/** A text that tells this server's log from another's. */
export function serverSql(schema: string): string {
  return `(SELECT c.system_identifier || '/' || coalesce(${quoteIdentifier(schema)}.server_timeline()::text, '?') FROM pg_control_system() c)`;
}

export function toCursor(row: SubscriptionRow): Cursor {
  return {
    snapshot: row.snapshot,
    high: Number(row.high),
    catchup: row.catchup === null ? null : { snapshot: row.catchup, seq: Number(row.catchup_seq) },
    floor: Number(row.floor),
  };
}
