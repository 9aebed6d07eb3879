/**
 * The rows of an outbox that was made by hand: which column is what is said by whoever made it, and held against the table.
 */
import type { HoldfastError } from '../../errors.ts';
import type { Database } from '../../postgres/database.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { badOption, didYouMean, refuseUnknownOptions } from '../../runtime/options.ts';
import { assertSeen, qualified, type ImportSource } from './source.ts';

/** Names of columns, as the table has them. */
export interface OwnTableOptions {
  readonly table: string;
  /** Of the table. Default: public. */
  readonly schema?: string | undefined;
  /** Unique, never null. Default: id. */
  readonly id?: string | undefined;
  /** JSON, or a text that is JSON. Default: payload. */
  readonly payload?: string | undefined;
  /** What kind of event a row is; the topic is chosen by it. Default: none, all rows bear the name of the table. */
  readonly name?: string | undefined;
  readonly key?: string | undefined;
  /** Not before this time. */
  readonly due?: string | undefined;
  /** What rows are ordered by, never null. Default: the id. */
  readonly order?: string | undefined;
  /** A time or a boolean that is set once a row was sent: others are moved, and set it. Default: rows are deleted. */
  readonly sent?: string | undefined;
}

interface Column {
  readonly name: string;
  readonly type: string;
  readonly required: boolean;
}

const COLUMNS = ['id', 'payload', 'name', 'key', 'due', 'order', 'sent'] as const;
const TIMES = new Set(['timestamp with time zone', 'timestamp without time zone', 'date']);

/** Rejects with HF_CONFIG for a table or column that is not there or cannot be what it is said to be, HF_OPTION_UNKNOWN, HF_PERMISSION. */
export async function ownTableSource(database: Database, options: OwnTableOptions): Promise<ImportSource> {
  refuseUnknownOptions(options, ['table', 'schema', ...COLUMNS], 'import table');
  const { table: name, schema = 'public' } = options;
  const table = qualified(schema, name);
  const label = `${schema}.${name}`;
  await assertSeen(database, table, label);
  const columns = await columnsOf(database, table);
  const find = (role: string, column: string): Column => findColumn(columns, { role, column, label });
  const optional = (role: (typeof COLUMNS)[number]): Column | null => {
    const column = options[role];
    return column === undefined ? null : find(role, column);
  };
  const id = find('id', options.id ?? 'id');
  const payload = find('payload', options.payload ?? 'payload');
  const [kind, key, due, sent] = [optional('name'), optional('key'), optional('due'), optional('sent')];
  const order = optional('order') ?? id;
  for (const each of [id, order]) {
    if (!each.required)
      throw wrong(label, each, 'may be null, so its rows have no place', 'Give one that is NOT NULL.');
  }
  if (!/^(?:jsonb?|text|character varying.*)$/.test(payload.type))
    throw wrong(label, payload, 'is neither JSON nor text', 'Give the column that holds the payload as JSON.');
  if (due !== null && !TIMES.has(due.type))
    throw wrong(label, due, 'is no time', 'Give a timestamp, or leave --due out.');
  const sql = (column: Column): string => `j.${quoteIdentifier(column.name)}`;
  return {
    kind: 'table',
    label,
    table,
    from: `${table} j`,
    identity: [{ sql: sql(id), type: id.type }],
    order:
      order === id
        ? [{ sql: sql(id), type: id.type }]
        : [order, id].map((each) => ({ sql: sql(each), type: each.type })),
    name: kind === null ? `'${name.replaceAll("'", "''")}'::text` : `${sql(kind)}::text`,
    payload: sql(payload),
    key: key === null ? 'NULL::text' : `${sql(key)}::text`,
    due: due === null ? 'NULL::timestamptz' : `${sql(due)}::timestamptz`,
    state: sent === null ? `'waiting'` : `CASE WHEN ${isSent(label, sent)} THEN 'ended' ELSE 'waiting' END`,
    attempts: '0',
    mark: sent === null ? null : `${quoteIdentifier(sent.name)} = ${sent.type === 'boolean' ? 'true' : 'now()'}`,
  };
}

function isSent(label: string, sent: Column): string {
  const column = `j.${quoteIdentifier(sent.name)}`;
  if (sent.type === 'boolean') return `${column} IS TRUE`;
  if (TIMES.has(sent.type)) return `${column} IS NOT NULL`;
  throw wrong(
    label,
    sent,
    'is neither a time nor a boolean',
    'Leave --sent out, and rows are deleted when they are moved.',
  );
}

async function columnsOf(database: Database, table: string): Promise<readonly Column[]> {
  const { rows } = await database.query<{ name: string; type: string; required: boolean }>(
    `SELECT attname::text AS name, format_type(atttypid, atttypmod) AS type, attnotnull AS required
     FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
    [table],
  );
  return rows;
}

interface Wanted {
  readonly role: string;
  readonly column: string;
  readonly label: string;
}

function findColumn(columns: readonly Column[], { role, column, label }: Wanted): Column {
  const found = columns.find(({ name }) => name === column);
  if (found !== undefined) return found;
  const names = columns.map(({ name }) => name);
  const near = didYouMean(column, names);
  throw badOption(
    `import table: --${role}`,
    `is ${JSON.stringify(column)}, which ${label} does not have`,
    near === undefined ? `Its columns: ${names.join(', ')}.` : `Did you mean ${JSON.stringify(near)}?`,
  );
}

function wrong(label: string, { name, type }: Column, what: string, advice: string): HoldfastError {
  return badOption(`import table: ${label}.${name}`, `(${type}) ${what}`, advice);
}
