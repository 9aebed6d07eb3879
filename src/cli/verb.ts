/**
 * What every verb starts from: settings, the configuration file, a database, who is asking.
 */
import { hostname, userInfo } from 'node:os';
import { Option, type Command } from 'commander';
import { HoldfastError } from '../errors.ts';
import type { HoldfastConfig } from '../operations/config.ts';
import type { Database } from '../postgres/database.ts';
import type { DatabaseOptions } from '../postgres/pool-settings.ts';
import { parseDuration, type Duration } from '../runtime/duration.ts';
import { createRedactor, showAll, type Redactor } from '../runtime/redact.ts';
import { resolveDatabases, theOnly, type NamedDatabase } from './config/databases.ts';
import { loadConfig } from './config/load.ts';
import { ALL, COMMON, readGiven, type Given, type SettingName } from './config/options.ts';
import { namesDatabase } from './config/servers.ts';
import { devDatabaseUrl } from './dev/home.ts';
import { explainDatabaseError } from './database-error.ts';
import type { VerbReport } from './output/report.ts';

export interface Context {
  readonly given: Given;
  readonly config: HoldfastConfig;
  /** One at the least. */
  readonly databases: readonly NamedDatabase[];
  /** Own flags of the verb, as commander has them. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly json: boolean;
}

/** Flags of settings on a command, and --json. Those that every verb has come last in its help. */
export function addSettings(command: Command, names: readonly SettingName[]): Command {
  const common = Object.keys(COMMON) as SettingName[];
  for (const name of [...names, ...common]) {
    const { flag, env, help } = ALL[name];
    const option = new Option(flag, `${help} [${env.join(', ')}]`);
    if ('many' in ALL[name])
      option.argParser((value: string, before: readonly string[] | undefined) => [...(before ?? []), value]);
    if (common.includes(name)) option.helpGroup(CONNECTION);
    command.addOption(option);
    if (name === 'config')
      command.addOption(
        new Option('--no-config', 'none, also where there is one: it is code, and is run').helpGroup(CONNECTION),
      );
  }
  return command.addOption(new Option('--json', 'one JSON document on stdout, nothing else').helpGroup(CONNECTION));
}

const CONNECTION = 'Every verb has:';

/**
 * Reads flags, environment and configuration file. Where none of them names a database it is that of a `holdfast dev` which runs in this
 * folder; `bringsDatabase`: or there may be none. Rejects with HF_CONFIG, HF_OPTION_UNKNOWN or HF_DURATION.
 */
export async function contextOf(
  command: Command,
  names: readonly SettingName[],
  bringsDatabase = false,
): Promise<Context> {
  // A verb with verbs of its own (migrate) reads the flags that both know first.
  const flags = command.optsWithGlobals<Record<string, unknown>>();
  const settingNames = [...names, ...(Object.keys(COMMON) as SettingName[])];
  const given = readGiven({ flags, env: process.env }, settingNames);
  const { config } = flags['config'] === false ? { config: {} } : await loadConfig(given.config, process.cwd());
  const isNamed = namesDatabase(given, config, process.env);
  const running = isNamed ? null : devDatabaseUrl(process.cwd());
  if (!isNamed && running === null && !bringsDatabase) {
    throw new HoldfastError('HF_CONFIG', 'Nothing says where the database is.', {
      advice:
        'Give --database-url, or DATABASE_URL in the environment, or database.url in holdfast.config.ts. On your machine, holdfast dev starts one.',
    });
  }
  const databases = resolveDatabases(given, config, running ?? undefined);
  return { given, config, flags, json: flags['json'] === true, databases };
}

/** The settings of the database that the verb is about. Throws HF_CONFIG where there are several. */
export function databaseOf({ databases }: Pick<Context, 'databases'>): DatabaseOptions {
  return theOnly(databases).options;
}

/** Opens the database for one verb. Rejects with errors that say what to do, and with HF_CONFIG where there are several. */
export async function withDatabase<T>(context: Context, use: (database: Database) => Promise<T>): Promise<T> {
  return withOpened([theOnly(context.databases)], async (opened) => {
    const [database] = opened.values();
    if (database === undefined) throw new TypeError('No database was opened.');
    return use(database);
  });
}

/** Opens all that there are, by their names. */
export async function withDatabases<T>(
  { databases }: Pick<Context, 'databases'>,
  use: (databases: ReadonlyMap<string, Database>) => Promise<T>,
): Promise<T> {
  return withOpened(databases, use);
}

async function withOpened<T>(
  databases: readonly NamedDatabase[],
  use: (databases: ReadonlyMap<string, Database>) => Promise<T>,
): Promise<T> {
  const { openDatabase } = await import('../postgres/database.ts');
  const opened = new Map(
    databases.map(({ name, options }) => [name, openDatabase({ ...options, applicationName: 'holdfast-cli' })]),
  );
  try {
    return await use(opened);
  } catch (error) {
    throw explainDatabaseError(error);
  } finally {
    const closed = Promise.all([...opened.values()].map((each) => each.close()));
    // One that says nothing is not waited for, where others have answered.
    if (opened.size === 1) await closed;
    else closed.catch(() => undefined);
  }
}

/** What of payloads is not shown, as the configuration file says; it was checked when it was read. */
export function redactorOf({ config }: Pick<Context, 'config'>): Redactor {
  return config.redact === undefined ? showAll : createRedactor(config.redact);
}

export type RunVerb = (context: Context, args: readonly string[]) => Promise<VerbReport>;

/** A text flag of the verb. */
export function textFlag(context: Context, name: string): string | undefined {
  const value = context.flags[name];
  return typeof value === 'string' ? value : undefined;
}

/** A whole number. Throws HF_CONFIG. */
export function numberFlag(context: Context, name: string, flag: string): number | undefined {
  const value = textFlag(context, name);
  if (value === undefined) return undefined;
  if (/^\d{1,15}$/.test(value)) return Number(value);
  throw new HoldfastError('HF_CONFIG', `${flag} is ${JSON.stringify(value)}.`, { advice: 'Give a whole number.' });
}

/** '2h' is two hours ago; else a date. Throws HF_CONFIG. */
export function timeFlag(context: Context, name: string, flag: string): Date | undefined {
  const value = textFlag(context, name);
  if (value === undefined) return undefined;
  if (/^\d+(\.\d+)?(ms|s|m|h|d)$/.test(value)) return new Date(Date.now() - parseDuration(value as Duration, flag));
  const time = /^\d{4}-\d\d/.test(value) ? new Date(value) : new Date(Number.NaN);
  if (!Number.isNaN(time.getTime())) return time;
  throw new HoldfastError('HF_CONFIG', `${flag} is ${JSON.stringify(value)}, which is no time.`, {
    advice: 'Give how long ago (30m, 2h, 7d) or a date (2026-01-31, 2026-01-31T08:00:00Z).',
  });
}

/** Who stands in the audit: --actor, HOLDFAST_ACTOR, or user and host. */
export function actorOf(context: Context): string {
  return textFlag(context, 'actor') ?? process.env['HOLDFAST_ACTOR'] ?? `${userName()}@${hostname()}`;
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A user id without an account, as containers have.
    return `uid ${process.getuid?.() ?? '?'}`;
  }
}

/** Options of verbs that leave an audit row. */
export function addActOptions(command: Command, reason: 'required' | 'optional'): Command {
  const text = 'why; stands in the audit';
  if (reason === 'required') command.requiredOption('--reason <text>', text);
  else command.option('--reason <text>', text);
  return command.option('--actor <name>', 'who acts, for the audit (default: user and host) [HOLDFAST_ACTOR]');
}
