/**
 * The database of `holdfast dev`: the one that the project names, or else a server of its own, whose data stay in the folder `.holdfast`.
 * Its binaries are those of the machine, or are fetched by npm.
 */
import { join } from 'node:path';
import { HoldfastError } from '../../errors.ts';
import type { DatabaseOptions } from '../../postgres/pool-settings.ts';
import { keptVersion, startKeptPostgres } from '../../servers/kept-postgres.ts';
import { fetchedPostgres, fetchPostgres } from '../../servers/npm-postgres.ts';
import { embeddedPostgres, majorOf, systemPostgres, type PostgresBinaries } from '../../servers/postgres-binaries.ts';
import { namesDatabase } from '../config/servers.ts';
import { databaseOf, type Context } from '../verb.ts';
import { dataFolder } from './home.ts';

export interface DevDatabase {
  readonly options: DatabaseOptions;
  /** What the user is told of it. */
  readonly about: string;
  /** Resolves with why, when a server of ours has ended by itself. */
  readonly gone: Promise<string>;
  stop(): Promise<void>;
}

/** Rejects with HF_SERVER_MISSING when none is named and none can be started. `onSlow`: what takes long, once. */
export async function openDevDatabase(
  context: Pick<Context, 'given' | 'config' | 'databases'>,
  home: string,
  onSlow: (what: string) => void,
): Promise<DevDatabase> {
  const { given, config } = context;
  const options = databaseOf(context);
  if (namesDatabase(given, config, process.env)) {
    return { options, about: `${placeOf(options.url)}, as given`, gone: new Promise(() => {}), stop: async () => {} };
  }
  const folder = dataFolder(home);
  const major = keptVersion(folder);
  const binaries = await findBinaries(join(home, 'binaries'), major, onSlow);
  if (major === undefined) onSlow(`making a database in ${folder}`);
  const server = await startKeptPostgres({ folder, database: 'app', binaries });
  const version = `PostgreSQL ${binaries.version}`;
  return {
    options: { ...options, url: server.url },
    about: `${version} on port ${server.port}, kept in ${folder.startsWith(home) ? '.holdfast' : folder}`,
    gone: server.gone,
    stop: () => server.stop(),
  };
}

/** Of the version that made the data, if there are any. */
async function findBinaries(
  folder: string,
  major: number | undefined,
  onSlow: (what: string) => void,
): Promise<PostgresBinaries> {
  const fits = ({ version }: PostgresBinaries): boolean => major === undefined || majorOf(version) === major;
  for (const look of [() => systemPostgres(major), () => fetchedPostgres(folder), embeddedPostgres]) {
    const found = look();
    if (found !== undefined && fits(found)) return found;
  }
  const fetched = await fetchPostgres({
    folder,
    onFetch: (name) => onSlow(`no PostgreSQL on this machine: fetching one (${name}, about 30 MB, once)`),
  });
  if (fits(fetched)) return fetched;
  throw new HoldfastError(
    'HF_SERVER_MISSING',
    `The database in .holdfast was made by PostgreSQL ${major}, and here is only PostgreSQL ${majorOf(fetched.version)}.`,
    { advice: `Install PostgreSQL ${major} again, or remove .holdfast to begin with an empty database.` },
  );
}

/** Without user and password. */
function placeOf(url: string | undefined): string {
  if (url === undefined || !URL.canParse(url)) return 'PostgreSQL';
  const { hostname, port, pathname } = new URL(url);
  return `PostgreSQL at ${hostname}:${port || '5432'}${pathname}`;
}
