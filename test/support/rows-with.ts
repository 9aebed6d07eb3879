/** Looks for a text in everything that Holdfast keeps in a database. */
import type { Pool } from 'pg';

/** Rows of all its tables that have the text, each with the name of its table before it. */
export async function rowsWith(pool: Pool, text: string): Promise<readonly string[]> {
  const { rows } = await pool.query<{ name: string }>(
    `SELECT tablename AS name FROM pg_tables WHERE schemaname = 'holdfast'`,
  );
  const found: string[] = [];
  for (const { name } of rows) {
    const some = await pool.query<{ row: string }>(
      `SELECT t::text AS row FROM holdfast.${name} t WHERE position($1 in t::text) > 0`,
      [text],
    );
    found.push(...some.rows.map(({ row }) => `${name}: ${row.slice(0, 500)}`));
  }
  return found;
}
