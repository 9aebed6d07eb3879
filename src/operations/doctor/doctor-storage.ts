/**
 * The doctor's look at what fills disks and wears out: dead rows, tables and indexes larger than their rows, WAL that is not archived, and
 * transaction ids that run out. Free space of a disk is nothing that SQL can tell.
 */
import type { Database } from '../../postgres/database.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { rowsBySql } from '../reads/reads.ts';
import type { Check, DoctorLimits, CheckFinding } from './finding.ts';

export const checkStorage: Check = async (database, { limits }) => {
  const tables = await tableSizes(database);
  return [
    ...tables.flatMap((table) => judgeTable(table, limits, database.schema)),
    ...(await indexSizes(database)).flatMap((index) => judgeIndex(index, limits, database.schema)),
    ...(await wraparound(database, limits)),
    ...(await archiver(database)),
  ];
};

export interface TableSize {
  readonly name: string;
  readonly live: number;
  readonly dead: number;
  /** Of the table itself, without indexes and what is stored outside of rows. */
  readonly bytes: number;
  /** Of a row, with its header; null: not known, or not to be seen. */
  readonly width: number | null;
  readonly vacuumed: string | null;
}

async function tableSizes(database: Database): Promise<readonly TableSize[]> {
  return rowsBySql<TableSize>(
    database,
    `SELECT s.relname::text AS name, s.n_live_tup::float8 AS live, s.n_dead_tup::float8 AS dead,
       pg_relation_size(s.relid)::float8 AS bytes, w.width::float8 AS width,
       to_char(greatest(s.last_vacuum, s.last_autovacuum) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"') AS vacuumed
     FROM pg_stat_all_tables s
     -- 24 bytes of header and 4 of its place in the page; a page is left free as its fillfactor says.
     CROSS JOIN LATERAL (SELECT (sum(p.avg_width) + 28) * 100 / coalesce((
         SELECT o.option_value::int FROM pg_class c CROSS JOIN LATERAL pg_options_to_table(c.reloptions) AS o
         WHERE c.oid = s.relid AND o.option_name = 'fillfactor'), 100) AS width
       FROM pg_stats p WHERE p.schemaname = s.schemaname AND p.tablename = s.relname) AS w
     WHERE s.schemaname = $1 ORDER BY s.relname`,
    [database.schema],
  );
}

/** Pure. */
export function judgeTable(table: TableSize, limits: DoctorLimits, schema: string): readonly CheckFinding[] {
  const { name, live, dead, bytes, width, vacuumed } = table;
  const quoted = `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`;
  const findings: CheckFinding[] = [];
  if (dead > limits.deadRows && dead > live)
    findings.push({
      level: 'warn',
      check: 'tables.dead-rows',
      what: `The table ${name} has ${Math.round(dead)} dead rows beside ${Math.round(live)} live ones, and was vacuumed ${vacuumed === null ? 'never since its figures were reset' : `last at ${vacuumed}`}.`,
      advice:
        'See whether something holds the xmin horizon (postgres.long-transaction and its like), and whether the role of the relay may vacuum (docs/operations.md).',
      repair: `VACUUM (ANALYZE) ${quoted};`,
    });
  // Dead rows become free space by a vacuum; what is told of here does not.
  const needed = (live + dead) * (width ?? 0);
  if (width !== null && bytes > 4 * needed && bytes - needed > limits.wastedBytes)
    findings.push({
      level: 'warn',
      check: 'tables.bloat',
      what: `The table ${name} takes ${gib(bytes)}, and its rows need about ${gib(needed)}.`,
      advice:
        'New rows take what is free. To have the disk back, rewrite it in a quiet hour: VACUUM FULL locks it, pg_repack does not.',
      repair: `VACUUM (FULL, ANALYZE) ${quoted}; -- locks the table until it is done`,
    });
  return findings;
}

export interface IndexSize {
  readonly name: string;
  readonly bytes: number;
  /** Of its table. */
  readonly live: number;
  readonly dead: number;
}

async function indexSizes(database: Database): Promise<readonly IndexSize[]> {
  return rowsBySql<IndexSize>(
    database,
    `SELECT c.relname::text AS name, pg_relation_size(c.oid)::float8 AS bytes, s.n_live_tup::float8 AS live, s.n_dead_tup::float8 AS dead
     FROM pg_stat_all_tables s JOIN pg_index i ON i.indrelid = s.relid JOIN pg_class c ON c.oid = i.indexrelid
     JOIN pg_am m ON m.oid = c.relam AND m.amname = 'btree'
     WHERE s.schemaname = $1 ORDER BY c.relname`,
    [database.schema],
  );
}

/** More than an entry of any of our indexes takes: of a key and a number, a third of it. */
const ENTRY_BYTES = 100;

/** Pure. */
export function judgeIndex(
  { name, bytes, live, dead }: IndexSize,
  limits: DoctorLimits,
  schema: string,
): readonly CheckFinding[] {
  const needed = (live + dead) * ENTRY_BYTES;
  if (bytes <= 4 * needed || bytes - needed <= limits.wastedBytes) return [];
  const repair = `REINDEX INDEX CONCURRENTLY ${quoteIdentifier(schema)}.${quoteIdentifier(name)};`;
  return [
    {
      level: 'warn',
      check: 'tables.bloat',
      what: `The index ${name} takes ${gib(bytes)}, and its entries need about ${gib(needed)} at most.`,
      advice: `Make it anew, which locks nobody out: ${repair}`,
      repair,
    },
  ];
}

interface Unfrozen {
  readonly database: string;
  readonly here: boolean;
  readonly xids: number;
  readonly multixacts: number;
  /** Of the database that asks: those that hold it back. */
  readonly tables: readonly string[] | null;
}

/** Of 2^31. */
const NEAR_THE_END = 0.75 * 2_147_483_648;

async function wraparound(database: Database, limits: DoctorLimits): Promise<readonly CheckFinding[]> {
  const found = await rowsBySql<Unfrozen>(
    database,
    `SELECT d.datname::text AS database, d.datname = current_database() AS here, age(d.datfrozenxid)::float8 AS xids,
       mxid_age(d.datminmxid)::float8 AS multixacts,
       CASE WHEN d.datname = current_database() THEN ARRAY(
         SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'm') ORDER BY greatest(age(c.relfrozenxid), mxid_age(c.relminmxid)) DESC LIMIT 3) END::text[] AS tables
     FROM pg_database d WHERE greatest(age(d.datfrozenxid), mxid_age(d.datminmxid)) > $1 ORDER BY 3 DESC LIMIT 5`,
    [limits.unfrozenXids],
  );
  return found.map(({ database: name, here, xids, multixacts, tables }): CheckFinding => {
    const most = Math.max(xids, multixacts);
    const percent = Math.round((most / 2_147_483_648) * 100);
    return {
      level: most > NEAR_THE_END ? 'error' : 'warn',
      check: 'postgres.wraparound',
      what: `The database ${name} has used up ${percent} % of the ${xids >= multixacts ? 'transaction ids' : 'ids of row locks'}${here ? `; the oldest tables are ${(tables ?? []).join(', ')}` : ''}.`,
      advice: `End what holds the xmin horizon (postgres.long-transaction and its like), then vacuum${here ? '' : `, connected to ${name}`}.`,
      repair: here ? (tables ?? []).map((table) => `VACUUM (FREEZE) ${table};`).join('\n') : 'VACUUM (FREEZE);',
    };
  });
}

async function archiver(database: Database): Promise<readonly CheckFinding[]> {
  const found = await rowsBySql<{ readonly wal: string; readonly at: string; readonly times: string }>(
    database,
    `SELECT last_failed_wal AS wal, to_char(last_failed_time AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"') AS at,
       failed_count::text AS times
     FROM pg_stat_archiver
     WHERE current_setting('archive_mode') <> 'off' AND last_failed_time > coalesce(last_archived_time, '-infinity')`,
  );
  return found.map(({ wal, at, times }) => ({
    level: 'warn',
    check: 'postgres.archiver',
    what: `Archiving WAL fails (${times} times; last ${wal} at ${at}), and it is kept until it does not.`,
    advice: 'The log of the server says what archive_command, or the library for it, answered.',
  }));
}

function gib(bytes: number): string {
  return bytes >= 107_374_182 ? `${(bytes / 1_073_741_824).toFixed(1)} GiB` : `${Math.round(bytes / 1_048_576)} MiB`;
}
