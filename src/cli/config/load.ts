/**
 * Finds, loads and checks the configuration file. TypeScript is read by jiti, because Node 20 cannot strip types.
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import { ALERT_SETTINGS } from '../../operations/alerts/options.ts';
import type { HoldfastConfig } from '../../operations/config.ts';
import { assertDatabaseNames } from '../../operations/databases/database-names.ts';
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';
import { createRedactor } from '../../runtime/redact.ts';

const NAMES = ['holdfast.config.ts', 'holdfast.config.mts', 'holdfast.config.js', 'holdfast.config.mjs'] as const;

export interface LoadedConfig {
  /** Absolute path; null when there is no file. */
  readonly file: string | null;
  readonly config: HoldfastConfig;
}

/** Without `file`, what is in `folder`, if anything. Rejects with HF_CONFIG or HF_OPTION_UNKNOWN. */
export async function loadConfig(file: string | undefined, folder: string): Promise<LoadedConfig> {
  const path =
    file === undefined
      ? NAMES.map((name) => resolve(folder, name)).find((each) => existsSync(each))
      : resolve(folder, file);
  if (path === undefined) return { file: null, config: {} };
  if (!existsSync(path)) {
    throw new HoldfastError('HF_CONFIG', `There is no configuration file ${path}.`, {
      advice: 'Check --config or HOLDFAST_CONFIG.',
    });
  }
  return { file: path, config: checkConfig(await load(path), path) };
}

async function load(path: string): Promise<unknown> {
  try {
    const { createJiti } = await import('jiti');
    // No cache on disk: it would be written into the user's node_modules.
    const module = await createJiti(import.meta.url, { fsCache: false, moduleCache: false }).import<object>(path);
    return 'default' in module ? module.default : undefined;
  } catch (error) {
    if (isHoldfastError(error)) throw error;
    const what = error instanceof Error ? error.message : String(error);
    throw new HoldfastError('HF_CONFIG', `${path} cannot be loaded: ${what}`, {
      advice: 'It is a module that runs when it is loaded; the cause is in it or in what it imports.',
      cause: error,
    });
  }
}

const SECTIONS = {
  database: ['url', 'max'],
  redis: ['url', 'prefix', 'replicas'],
  signing: ['keys', 'use'],
  http: ['host', 'port'],
  log: ['level', 'format'],
  shutdown: ['deadline'],
  alerts: ALERT_SETTINGS,
  dashboard: [
    'host',
    'port',
    'basePath',
    'tokens',
    'proxy',
    'oidc',
    'trustedProxies',
    'hosts',
    'hidePayloads',
    'sessionTime',
    'sessionKey',
  ],
  doctor: ['interval'],
  sagas: ['path', 'name', 'concurrency', 'maxEvents', 'maxJournalBytes', 'lease', 'replies'],
} as const;

/** Sections that need not be written out. */
const SHORT_FORMS: Readonly<Record<string, (part: unknown) => boolean>> = {
  http: (part) => part === false,
  alerts: (part) => part === false,
  doctor: (part) => part === false,
  sagas: (part) => typeof part === 'string',
};

/** As a record, so that the compiler misses none. */
const KEYS: Readonly<Record<keyof HoldfastConfig, true>> = {
  database: true,
  databases: true,
  schema: true,
  environment: true,
  redis: true,
  transport: true,
  transports: true,
  routes: true,
  signing: true,
  codec: true,
  subscriptions: true,
  alerts: true,
  sagas: true,
  consumers: true,
  http: true,
  dashboard: true,
  log: true,
  shutdown: true,
  redact: true,
  doctor: true,
};

/** The outer shape; subscriptions are checked by the relay's own rules (resolveSubscription). Throws HF_CONFIG or HF_OPTION_UNKNOWN. */
export function checkConfig(value: unknown, where: string): HoldfastConfig {
  if (!isRecord(value)) {
    throw new HoldfastError(
      'HF_CONFIG',
      `${where} exports ${value === undefined ? 'nothing by default' : `a value of type ${typeof value}`}.`,
      {
        advice: 'Write: export default defineConfig({ … }).',
      },
    );
  }
  refuseUnknownOptions(value, Object.keys(KEYS), where);
  for (const [section, keys] of Object.entries(SECTIONS)) {
    const part = value[section];
    if (part === undefined || SHORT_FORMS[section]?.(part) === true) continue;
    if (!isRecord(part)) throw wrong(where, section, `{ ${keys.join(', ')} }`);
    refuseUnknownOptions(part, keys, `${where}: ${section}`);
  }
  for (const list of ['routes', 'subscriptions']) {
    if (value[list] !== undefined && !Array.isArray(value[list])) throw wrong(where, list, 'a list');
  }
  if (value['routes'] !== undefined && value['subscriptions'] !== undefined) {
    throw new HoldfastError('HF_CONFIG', `${where} has both routes and subscriptions.`, {
      advice: 'Put the routes into the subscription that they are for.',
    });
  }
  if (value['consumers'] !== undefined && typeof value['consumers'] !== 'string')
    throw wrong(where, 'consumers', 'the path of a folder or a file');
  checkDatabases(value, where);
  if (value['transports'] !== undefined && !isRecord(value['transports']))
    throw wrong(where, 'transports', '{ name: transport }');
  // Checked before anything is shown: a path that is wrong would hide nothing.
  if (value['redact'] !== undefined) createRedactor(value['redact'] as readonly string[], `${where}: redact`);
  return value;
}

function checkDatabases({ database, databases }: Record<string, unknown>, where: string): void {
  if (databases === undefined) return;
  if (database !== undefined)
    throw new HoldfastError('HF_CONFIG', `${where} has both database and databases.`, {
      advice: 'Put the one database among the others, with a name.',
    });
  if (!isRecord(databases)) throw wrong(where, 'databases', '{ NAME: { url } }');
  assertDatabaseNames(Object.keys(databases), `${where}: databases`);
  for (const [name, each] of Object.entries(databases)) {
    if (!isRecord(each)) throw wrong(where, `databases.${name}`, '{ url, … }');
    if (each['url'] === undefined)
      throw badOption(`${where}: databases.${name}`, 'has no url', 'Is the variable set that it is read from?');
    refuseUnknownOptions(each, ['url', 'max', 'schema', 'environment'], `${where}: databases.${name}`);
  }
}

function wrong(where: string, key: string, wanted: string): HoldfastError {
  return new HoldfastError('HF_CONFIG', `${where}: ${key} has the wrong shape.`, { advice: `It is ${wanted}.` });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
