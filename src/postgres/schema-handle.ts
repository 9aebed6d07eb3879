/**
 * What queries are sent through: a database, or one client of it, so that what is read and done is in its transaction.
 */
import type { ClientBase, QueryResult, QueryResultRow } from 'pg';

/** A {@link Database} is one. */
export interface SchemaHandle {
  readonly schema: string;
  query<R extends QueryResultRow>(text: string, values?: readonly unknown[]): Promise<Pick<QueryResult<R>, 'rows'>>;
}

/** In the transaction of `client`, which reads results by OWN_TYPES. */
export function schemaHandle(client: ClientBase, schema: string): SchemaHandle {
  return { schema, query: (text, values = []) => client.query(text, [...values]) };
}
