/**
 * `holdfast migrate` and `holdfast migrate status`.
 */
import { migrate, migrationStatus, type Migration, type MigrationStatus } from '../../postgres/migrator.ts';
import { EXIT } from '../exit-codes.ts';
import { formatTime, plural } from '../output/format.ts';
import type { VerbReport, Ui } from '../output/report.ts';
import { formatTable } from '../output/table.ts';
import { numberFlag, withDatabase, type Context } from '../verb.ts';

export async function runMigrate(context: Context): Promise<VerbReport> {
  const dryRun = context.flags['dryRun'] === true;
  const to = numberFlag(context, 'to', '--to');
  return withDatabase(context, async (database) => {
    const repairs: string[] = [];
    const migrations = await migrate(database, { dryRun, to, onRepair: ({ what }) => void repairs.push(what) });
    const { schema } = database;
    const json = { schema, dryRun, migrations: migrations.map(({ version, name }) => ({ version, name })), repairs };
    return {
      json,
      text: (ui) =>
        [formatMigrations(migrations, { schema, dryRun }, ui), ...repairs.map((what) => ui.style.yellow(what))].join(
          '\n',
        ),
    };
  });
}

function formatMigrations(
  migrations: readonly Migration[],
  { schema, dryRun }: { schema: string; dryRun: boolean },
  { style }: Ui,
): string {
  if (migrations.length === 0) return `${style.green('Up to date:')} nothing to migrate in the schema ${schema}.`;
  const head = dryRun
    ? `${style.bold('Would apply')} ${plural(migrations.length, 'migration')} to the schema ${schema}:`
    : `${style.green('Applied')} ${plural(migrations.length, 'migration')} to the schema ${schema}:`;
  const lines = migrations.map(({ version, name, notes }) => {
    const title = `  ${String(version).padStart(4, '0')} ${style.bold(name)}`;
    // The operator's notes matter before the act.
    return dryRun && notes !== '' ? `${title}\n${style.dim(notes.replaceAll(/^/gm, '       '))}` : title;
  });
  return [head, ...lines].join('\n');
}

export async function runMigrateStatus(context: Context): Promise<VerbReport> {
  return withDatabase(context, async (database) => {
    const migrations = await migrationStatus(database);
    const behind = migrations.some(({ state }) => state === 'pending' || state === 'changed');
    const json = {
      schema: database.schema,
      migrations: migrations.map(({ version, name, state, appliedAt, appliedBy }) => ({
        version,
        name,
        state,
        appliedAt,
        appliedBy,
      })),
    };
    const exitCode = behind && context.flags['check'] === true ? EXIT.findings : EXIT.ok;
    return { json, exitCode, text: (ui) => formatMigrationStatus(migrations, behind, ui) };
  });
}

function formatMigrationStatus(migrations: readonly MigrationStatus[], behind: boolean, ui: Ui): string {
  const { style } = ui;
  const paint = { applied: style.green, pending: style.yellow, changed: style.red, unknown: style.red };
  const table = formatTable(
    migrations,
    [
      { title: 'VERSION', value: ({ version }) => String(version).padStart(4, '0') },
      { title: 'NAME', value: ({ name }) => name, paint: style.bold },
      { title: 'STATE', value: ({ state }) => state, paint: (cell, { state }) => paint[state](cell) },
      { title: 'APPLIED', value: ({ appliedAt }) => (appliedAt === null ? '-' : formatTime(new Date(appliedAt))) },
      { title: 'BY', value: ({ appliedBy }) => appliedBy ?? '-', paint: style.dim },
    ],
    ui,
  );
  return behind ? `${table}\n\nApply what is pending:  ${style.bold('holdfast migrate')}` : table;
}
