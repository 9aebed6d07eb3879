/**
 * The narrowest view of a database handle: run one statement. Everything that writes inside a caller's transaction
 * goes through it, so that no driver or ORM is imported to serve one.
 */

export type Row = Readonly<Record<string, unknown>>;

/** Runs one statement with `$1`-style parameters and resolves with its rows. */
export type SqlExecutor = (sql: string, parameters: readonly unknown[]) => Promise<readonly Row[]>;
