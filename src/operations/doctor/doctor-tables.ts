/**
 * The doctor's look at the tables themselves: what keeps the log from being a log, and what a crash or a copy would take.
 */
import { strayFunctions } from '../../postgres/at-home.ts';
import type { Database } from '../../postgres/database.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { sequencesBehind } from '../../postgres/sequences.ts';
import { translateSqlError } from '../../postgres/sql-state.ts';
import { rowsBySql } from '../reads/reads.ts';
import type { Check, CheckFinding } from './finding.ts';

export const checkTables: Check = async (database) => {
  const stray = await functionsOfOthers(database);
  // These functions would tell of the sequences of the other schema.
  const sequences = stray.length > 0 ? [] : await badSequences(database);
  return [...stray, ...sequences, ...(await badRelations(database))];
};

async function badSequences(database: Database): Promise<readonly CheckFinding[]> {
  const caches = await rowsBySql<{ name: string; cache: number }>(
    database,
    `SELECT c.relname AS name, s.seqcache::int AS cache FROM pg_sequence s
     JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_depend d ON d.objid = c.oid AND d.deptype = 'i' JOIN pg_class t ON t.oid = d.refobjid AND t.relname = 'outbox'
     WHERE n.nspname = $1 AND s.seqcache <> 1`,
    [database.schema],
  );
  const behind = await sequencesBehind(database, database.schema).catch((error: unknown) => {
    throw translateSqlError(error);
  });
  return [
    ...caches.map(({ name, cache }): CheckFinding => {
      const repair = `ALTER SEQUENCE ${quoteIdentifier(database.schema)}.${quoteIdentifier(name)} CACHE 1`;
      return {
        level: 'error',
        check: 'tables.sequence-cache',
        what: `The sequence ${name} hands out ${cache} numbers at a time, so the order of the log is not the order of writing.`,
        advice: `${repair}.`,
        repair: `${repair};`,
      };
    }),
    ...behind.map(({ name, last, needed }): CheckFinding => ({
      level: 'error',
      check: 'tables.sequence-behind',
      what: `The sequence ${name} is at ${last}, but ${needed} is in use: what is written next may be refused, or lie where no reader looks.`,
      advice: 'Run `holdfast migrate`, which raises it; so does the start of a relay.',
      repair: 'holdfast migrate',
    })),
  ];
}

async function functionsOfOthers(database: Database): Promise<readonly CheckFinding[]> {
  const [first] = await strayFunctions(database, database.schema).catch((error: unknown) => {
    throw translateSqlError(error);
  });
  if (first === undefined) return [];
  return [
    {
      level: 'error',
      check: 'tables.stray-functions',
      what: `Functions of the schema "${database.schema}" write into "${first.schema}": it was renamed or copied.`,
      advice: `Run \`holdfast migrate --schema ${database.schema}\`, which points them at their own tables.`,
      repair: `holdfast migrate --schema ${database.schema}`,
    },
  ];
}

type Problem = 'unlogged' | 'invalid' | 'autovacuum-off';

/** What `s` writes about a table, in words and in SQL. */
const PROBLEMS: Readonly<
  Record<
    Problem,
    {
      readonly level: CheckFinding['level'];
      readonly what: (name: string) => string;
      readonly sql: (name: string) => string;
    }
  >
> = {
  unlogged: {
    level: 'error',
    what: (name) => `The table ${name} is unlogged: a crash empties it.`,
    sql: (name) => `ALTER TABLE ${name} SET LOGGED`,
  },
  invalid: {
    level: 'error',
    what: (name) => `The index ${name} is invalid.`,
    sql: (name) => `REINDEX INDEX CONCURRENTLY ${name}`,
  },
  'autovacuum-off': {
    level: 'warn',
    what: (name) => `Autovacuum is off for the table ${name}.`,
    sql: (name) => `ALTER TABLE ${name} RESET (autovacuum_enabled)`,
  },
};

async function badRelations(database: Database): Promise<readonly CheckFinding[]> {
  const broken = await rowsBySql<{ name: string; problem: Problem }>(
    database,
    `SELECT c.relname AS name, p.problem
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid
     CROSS JOIN LATERAL (
       SELECT 'unlogged' AS problem WHERE c.relpersistence = 'u' AND c.relkind = 'r'
       UNION ALL SELECT 'invalid' WHERE NOT i.indisvalid
       UNION ALL SELECT 'autovacuum-off' FROM pg_options_to_table(c.reloptions) o
         WHERE c.relkind = 'r' AND o.option_name = 'autovacuum_enabled' AND o.option_value IN ('false', 'off', 'no', '0', 'f', 'n')
     ) AS p
     WHERE n.nspname = $1 ORDER BY p.problem, c.relname`,
    [database.schema],
  );
  return broken.map(({ name, problem }): CheckFinding => {
    const { level, what, sql } = PROBLEMS[problem];
    const repair = sql(`${quoteIdentifier(database.schema)}.${quoteIdentifier(name)}`);
    return { level, check: `tables.${problem}`, what: what(name), advice: `${repair}.`, repair: `${repair};` };
  });
}
