/**
 * From a row to the transaction that wrote it, and so to the messages that were written in that same transaction: what a handler sent has
 * the transaction of its mark, what a run sent that of its journal row. No column is kept for this: every row of PostgreSQL names its
 * writer (`xmin`), and the log has an index by transaction.
 *
 * `xmin` has the lower half of the number; the upper one is that of the last four thousand million transactions. Rows that were restored or
 * replicated name whoever wrote them here, so what is found must also fit by its attributes.
 */

/** As xid8, of a row that is named by `alias`. */
export function writerSql(alias: string): string {
  const next = 'pg_snapshot_xmax(pg_current_snapshot())::text::bigint';
  return `(${next} - ((${next} - ${alias}.xmin::text::bigint) & 4294967295))::text::xid8`;
}

/** Whether the row that is named by `alias` was written by the transaction, an expression of type xid8. */
export function isWrittenBy(alias: string, xid: string): string {
  return `${alias}.xmin::text::bigint = (${xid}::text::bigint & 4294967295)`;
}

/**
 * The messages of one transaction, an expression of type xid8. OFFSET keeps the planner from looking through the whole log in the order that
 * is asked for outside, which it does where it takes most messages for those of one transaction.
 */
export function ofTransactionSql(schema: string, xid: string): string {
  return `SELECT t.* FROM ${schema}.outbox t WHERE t.xid = ${xid} OFFSET 0`;
}

/** A recursive CTE with the few values of a column that leads a primary key: it leaps from one to the next. */
export function leapsSql(name: string, table: string, column: string): string {
  return `${name} (${column}) AS (
    (SELECT t.${column} FROM ${table} t ORDER BY t.${column} LIMIT 1)
    UNION ALL
    SELECT (SELECT t.${column} FROM ${table} t WHERE t.${column} > l.${column} ORDER BY t.${column} LIMIT 1)
    FROM ${name} l WHERE l.${column} IS NOT NULL)`;
}
