/**
 * What an import reads from: jobs of another library, or rows of an outbox that was made by hand. A source is described by pieces of SQL,
 * so that all of them are counted, locked and taken by the same statements. The table has the alias `j`.
 */
import { HoldfastError } from '../../errors.ts';
import type { Database } from '../../postgres/database.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';

/**
 * What an import makes of a row by the state it is in. Only `waiting` ones are moved, and `failed` ones when asked for: what somebody works
 * on just now (`busy`), what belongs together with other jobs (`chained`) and what is over (`ended`) stays where it is.
 */
export type SourceState = 'waiting' | 'failed' | 'busy' | 'chained' | 'ended';

/** A column, as SQL, and the type that its text is read as again. */
export interface SourceColumn {
  readonly sql: string;
  readonly type: string;
}

/** Each text but `kind` and `label` is SQL, its names quoted. */
export interface ImportSource {
  readonly kind: 'pg-boss' | 'graphile-worker' | 'table';
  /** The table, for people. */
  readonly label: string;
  readonly table: string;
  /** Behind FROM. */
  readonly from: string;
  /** What a row is known by. */
  readonly identity: readonly SourceColumn[];
  /** None of them null, together unique: batches go on behind the last row of the one before. */
  readonly order: readonly SourceColumn[];
  /** Name of the queue, task or event. */
  readonly name: string;
  readonly payload: string;
  readonly key: string;
  /** Not before this time; NULL: at once. */
  readonly due: string;
  /** Gives a SourceState. */
  readonly state: string;
  /** How often it was tried. */
  readonly attempts: string;
  /** What marks a row as moved: behind SET. Null: it is deleted. */
  readonly mark: string | null;
}

/** Rows that the role may not see would be left behind unseen. Rejects with HF_PERMISSION, and HF_CONFIG for a table that is not there. */
export async function assertSeen(database: Database, table: string, label: string): Promise<void> {
  const { rows } = await database.query<{ found: boolean; hidden: boolean | null }>(
    `SELECT to_regclass($1) IS NOT NULL AS found,
       CASE WHEN to_regclass($1) IS NOT NULL THEN row_security_active(to_regclass($1)::oid) END AS hidden`,
    [table],
  );
  if (rows[0]?.found !== true) {
    throw new HoldfastError('HF_CONFIG', `There is no table ${label} in this database.`, {
      advice:
        'A row and its message are moved in one transaction: give the database that holds both the rows and the tables of Holdfast, and the right schema with --from-schema.',
    });
  }
  if (rows[0].hidden !== true) return;
  throw new HoldfastError('HF_PERMISSION', `Row level security hides rows of ${label} from this role.`, {
    advice: 'Connect as the owner of the table, so that no row is left behind unseen.',
  });
}

/** @throws HoldfastError HF_CONFIG for a version whose tables were not tried */
export function assertTried(library: string, version: number | null, tried: ReadonlyMap<number, string>): void {
  if (version !== null && tried.has(version)) return;
  const known = [...tried].map(([number, release]) => `${number} (${release})`).join(' and ');
  throw new HoldfastError(
    'HF_CONFIG',
    version === null
      ? `The tables of ${library} have no version.`
      : `The tables of ${library} are of version ${version}, which was not tried.`,
    {
      advice: `Tried are ${known}. Bring ${library} to one of these, let it migrate its tables, and import then; or read them as a table of your own, with holdfast import table.`,
    },
  );
}

export function qualified(schema: string, name: string): string {
  return `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`;
}
