/**
 * The cursor's own rule (cursor.ts), asked of one row.
 */

/** SQL: whether a row `o` of the log lies behind the stored cursor of the shard `s` of a subscription, so that it is not read again. */
export const PASSED_SQL = `(o.seq <= s.high AND (o.seq <= s.floor OR pg_visible_in_snapshot(o.xid, s.snapshot)
  OR coalesce(o.seq <= s.catchup_seq AND pg_visible_in_snapshot(o.xid, s.catchup), false)))`;
