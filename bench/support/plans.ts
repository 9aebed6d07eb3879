/**
 * The plans of what is asked through a database: the names of their nodes, each statement once.
 */
import type pg from 'pg';
import type { Database } from '../../src/postgres/database.ts';

interface Asked {
  readonly text: string;
  readonly values: readonly unknown[];
  /** By boundedRead, which tells the planner to go along indexes. */
  readonly bounded: boolean;
}

/** The same database, which remembers what it is asked. `plans` asks the server how it does that. */
export function planning(database: Database): {
  readonly database: Database;
  readonly plans: () => Promise<readonly string[]>;
} {
  const asked: Asked[] = [];
  const remember = (text: unknown, values: readonly unknown[] = [], bounded = false): void => {
    if (typeof text === 'string' && /^\s*(?:SELECT|WITH)\b/i.test(text)) asked.push({ text, values, bounded });
  };
  const wrapped: Database = {
    ...database,
    query: (text: string, values?: readonly unknown[]) => {
      remember(text, values);
      return database.query(text, values);
    },
    withConnection: ((fn: (client: pg.PoolClient) => Promise<unknown>, limit: undefined) =>
      database.withConnection((client) => fn(remembering(client, remember)), limit)) as Database['withConnection'],
  };
  return {
    database: wrapped,
    async plans() {
      const found: string[] = [];
      for (const each of asked) found.push(await planOf(database, each));
      return [...new Set(found)];
    },
  };
}

function remembering(
  client: pg.PoolClient,
  remember: (text: unknown, values: readonly unknown[] | undefined, bounded: boolean) => void,
): pg.PoolClient {
  const query = (first: unknown, ...rest: unknown[]): unknown => {
    if (typeof first === 'object' && first !== null && 'text' in first)
      remember(first.text, (first as { readonly values?: readonly unknown[] }).values, true);
    return (client.query as (...all: unknown[]) => unknown).call(client, first, ...rest);
  };
  return new Proxy(client, {
    get(target, property) {
      if (property === 'query') return query;
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Index Name'?: string;
  readonly 'Relation Name'?: string;
  readonly Plans?: readonly PlanNode[];
}

/** The scans alone, as they stand in the plan: `Index Scan outbox_pkey, Seq Scan subscription`. */
async function planOf(database: Database, { text, values, bounded }: Asked): Promise<string> {
  const scans = await database.transaction(async (client) => {
    if (bounded)
      await client.query('SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL jit = off');
    const { rows } = await client.query<{ 'QUERY PLAN': readonly [{ readonly Plan: PlanNode }] }>(
      `EXPLAIN (FORMAT JSON) ${text}`,
      [...values],
    );
    return rows[0] === undefined ? [] : scansOf(rows[0]['QUERY PLAN'][0].Plan);
  });
  return [...new Set(scans)].join(', ');
}

function scansOf(node: PlanNode): readonly string[] {
  const { 'Node Type': type, 'Index Name': index, 'Relation Name': relation, Plans = [] } = node;
  const own = index !== undefined ? [`${type} ${index}`] : relation !== undefined ? [`${type} ${relation}`] : [];
  return [...own, ...Plans.flatMap(scansOf)];
}
