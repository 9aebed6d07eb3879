/** How the server goes about what an operation asks. */
import type { Database } from '../../src/postgres/database.ts';

/** The same database, and the plan of each statement that is asked of it, in their order. */
export function planned(
  database: Database,
  explain = 'EXPLAIN',
): { readonly database: Database; readonly plans: readonly string[] } {
  const plans: string[] = [];
  const query = async (text: string, values?: readonly unknown[]) => {
    const { rows } = await database.query<{ 'QUERY PLAN': string }>(`${explain} ${text}`, values);
    plans.push(rows.map((row) => row['QUERY PLAN']).join('\n'));
    return database.query(text, values);
  };
  return { database: Object.create(database, { query: { value: query } }) as Database, plans };
}
