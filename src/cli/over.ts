/**
 * Verbs over several databases: each is asked, and what they say stands together, with the name of the database. One that does not answer in
 * time is named, and the others are told without it; the exit code is then that of its error. With one database all is as ever.
 */
import { HoldfastError, isHoldfastError } from '../errors.ts';
import { askEach, hasAnswered, type DatabaseAnswer, type FromDatabase } from '../operations/databases/ask-each.ts';
import type { Database } from '../postgres/database.ts';
import { describeFailure } from '../runtime/describe-failure.ts';
import { explainDatabaseError } from './database-error.ts';
import { EXIT, exitCodeOf } from './exit-codes.ts';
import { formatFailure, type Ui, type VerbReport } from './output/report.ts';
import type { Column } from './output/table.ts';
import { withDatabase, withDatabases, type Context } from './verb.ts';

/** Longer than a statement of a look may take, and not so long that somebody gives up. */
const TIMEOUT_MS = 15_000;

/** What one database said; `database`: null where it is the only one. */
export interface Said<T> {
  readonly database: string | null;
  readonly value: T;
}

export interface OverReport<T> {
  /** Of one. */
  readonly json: (value: T) => object;
  /** Of those that have answered. */
  readonly text: (said: readonly Said<T>[], ui: Ui) => string;
  /** @defaultValue 0 */
  readonly exitCode?: (values: readonly T[]) => number;
}

export function areSeveral({ databases }: Context): boolean {
  return databases.length > 1;
}

/** Asks all of them. With one it rejects as `ask` does; with several it does not. */
export async function overDatabases<T>(
  context: Context,
  ask: (database: Database) => Promise<T>,
  report: OverReport<T>,
): Promise<VerbReport> {
  if (areSeveral(context))
    return withDatabases(context, async (databases) => severalReport(await askAll(databases, ask), report));
  const value = await withDatabase(context, ask);
  return {
    json: report.json(value),
    text: (ui) => report.text([{ database: null, value }], ui),
    exitCode: report.exitCode?.([value]) ?? EXIT.ok,
  };
}

/** Never rejects. Errors say what to do. */
export async function askAll<T>(
  databases: ReadonlyMap<string, Database>,
  ask: (database: Database) => Promise<T>,
): Promise<readonly FromDatabase<T>[]> {
  const said = await askEach(databases, ask, { timeoutMs: TIMEOUT_MS });
  return said.map((each) => (hasAnswered(each) ? each : { ...each, error: explainDatabaseError(each.error) }));
}

/** What several said, as one report. Pure. */
export function severalReport<T>(said: readonly FromDatabase<T>[], report: OverReport<T>): VerbReport {
  const answers = said.filter(hasAnswered);
  const values = answers.map(({ value }) => value);
  const failed = said.filter((each): each is Exclude<FromDatabase<T>, DatabaseAnswer<T>> => !hasAnswered(each));
  const [first] = failed;
  return {
    json: {
      databases: said.map((each) =>
        hasAnswered(each)
          ? { database: each.database, ...report.json(each.value) }
          : { database: each.database, error: describeFailure(each.error) },
      ),
    },
    text: (ui) =>
      [
        ...(answers.length === 0 ? [] : [report.text(answers, ui)]),
        ...failed.map(({ database, error }) => `${heading(database, ui)}\n${formatFailure(error, ui)}`),
      ].join('\n\n'),
    exitCode: first === undefined ? (report.exitCode?.(values) ?? EXIT.ok) : exitCodeOf(first.error),
  };
}

/** Reports below each other, each under the name of its database. */
export const IN_SECTIONS: OverReport<VerbReport> = {
  json: ({ json }) => json as object,
  text: (said, ui) =>
    said
      .map(({ database, value }) =>
        database === null ? value.text(ui) : `${heading(database, ui)}\n${value.text(ui)}`,
      )
      .join('\n\n'),
  exitCode: (reports) => reports.map(({ exitCode = EXIT.ok }) => exitCode).find((code) => code !== EXIT.ok) ?? EXIT.ok,
};

function heading(database: string, { style }: Ui): string {
  return style.bold(`── ${database} ──`);
}

/** The first column of a table over several; none where there is one. */
export function databaseColumn<Row>(rows: readonly Said<Row>[], { style }: Ui): readonly Column<Said<Row>>[] {
  if (rows.every(({ database }) => database === null)) return [];
  return [{ title: 'DATABASE', value: ({ database }) => database ?? '', shrink: 8, paint: style.bold }];
}

/** Columns of a table of rows, for rows that say where they are. */
export function ofValues<Row>(columns: readonly Column<Row>[]): readonly Column<Said<Row>>[] {
  return columns.map(({ value, paint, ...column }) => ({
    ...column,
    value: (row) => value(row.value),
    ...(paint === undefined ? {} : { paint: (cell: string, row: Said<Row>) => paint(cell, row.value) }),
  }));
}

/**
 * Asks for what is in one of them, whichever that is. Rejects as `ask` does where none has it or one that may have it does not answer, and with
 * HF_CONFIG where several have it.
 */
export async function inWhichever<T>(context: Context, ask: (database: Database) => Promise<T>): Promise<Said<T>> {
  if (!areSeveral(context)) return { database: null, value: await withDatabase(context, ask) };
  const said = await withDatabases(context, (databases) => askAll(databases, ask));
  const [found, ...others] = said.filter(hasAnswered);
  if (found !== undefined && others.length === 0) return found;
  if (found !== undefined) {
    const names = [found, ...others].map(({ database }) => database);
    throw new HoldfastError('HF_CONFIG', `It is in several databases: ${names.join(', ')}.`, {
      advice: 'Give --database NAME.',
    });
  }
  const errors = said.flatMap((each) => (hasAnswered(each) ? [] : [each.error]));
  throw errors.find((error) => !isHoldfastError(error, 'HF_NOT_FOUND')) ?? errors[0];
}

/** For JSON: where it is, where there are several. */
export function inDatabase(database: string | null): { readonly database?: string } {
  return database === null ? {} : { database };
}
