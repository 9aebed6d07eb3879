/**
 * Finds the binaries of servers on this machine; as root on Debian and its kin, fetches the package that has them. It is not installed: it
 * is unpacked, with what the machine lacks of its dependencies, into a folder of its own below /var/cache/holdfast, where only root may
 * write. No script of a package runs, no service starts, and apt and dpkg know nothing of it: to be rid of it, remove the folder.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, delimiter, join, relative } from 'node:path';
import { output, runCommand } from './machine.ts';

const MORE_FOLDERS = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/opt/homebrew/bin', '/home/linuxbrew/.linuxbrew/bin'];
const CACHE = '/var/cache/holdfast';

/**
 * The path of the first binary of one of these names that runs.
 *
 * @param runs arguments with which it says something and ends well
 * @param suits looks at what it says
 */
export function systemBinary(
  names: readonly string[],
  runs: readonly string[] = ['--version'],
  suits: (said: string) => boolean = () => true,
): string | undefined {
  const path = (process.env['PATH'] ?? '').split(delimiter).filter(Boolean);
  const folders = [...path, ...MORE_FOLDERS, ...unpackedFolders()];
  const paths = folders.flatMap((folder) => names.map((name) => join(folder, name)));
  return paths.find((each) => {
    const said = existsSync(each) ? output(each, [...runs]) : undefined;
    return said !== undefined && suits(said);
  });
}

/** True where packages can be fetched: root, on a system with apt. */
export function aptIsOurs(): boolean {
  return process.getuid?.() === 0 && existsSync('/usr/bin/apt-get');
}

/** Where programs of unpacked packages are started from. */
export function unpackedFolders(): readonly string[] {
  const all = cacheOfSystem();
  if (!existsSync(all)) return [];
  return readdirSync(all).flatMap((name) => (name.startsWith('.') ? [] : [join(all, name, 'bin')]));
}

/**
 * Fetches packages of Debian's, unless they are there, so that {@link systemBinary} finds their programs. Throws what apt-get says.
 *
 * @param release a release of Debian's other than the machine's own, such as 'trixie': for programs that need little but themselves. Its
 * packages come from where the machine's own come from, and are checked by the same keys.
 * @returns the folder below which their files lie as they would below /
 */
export function unpackByApt(packages: readonly string[], release?: string): string {
  const all = cacheOfSystem();
  const name = packages.toSorted().join('+');
  const place = join(all, release === undefined ? name : `${name}@${release}`);
  const root = join(place, 'root');
  if (existsSync(place)) return root;
  mkdirSync(all, { recursive: true, mode: 0o755 });
  // Moved to its place whole: others may be looking, or fetching the same.
  const beside = mkdtempSync(join(all, '.unpacking-'));
  try {
    // The servers run as another user.
    chmodSync(beside, 0o755);
    for (const file of download(beside, packages, release)) runCommand('dpkg-deb', ['-x', file, join(beside, 'root')]);
    writeStarters(beside, root);
    rmSync(join(beside, 'apt'), { recursive: true });
    renameSync(beside, place);
  } catch (error) {
    if (!existsSync(place)) throw error;
  } finally {
    rmSync(beside, { recursive: true, force: true });
  }
  return root;
}

const POLICY = '/usr/sbin/policy-rc.d';

/**
 * Installs packages of Debian's for good, without letting them start a system service: for those whose programs look for their files below
 * /usr, and work nowhere else. Throws what apt-get says.
 */
export function installByApt(packages: readonly string[]): void {
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...args: string[]): void =>
    void runCommand('apt-get', ['-o', 'DPkg::Lock::Timeout=300', '-qq', ...args], { env, timeoutMs: 600_000 });
  const policyIsOurs = !existsSync(POLICY);
  if (policyIsOurs) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    apt('update');
    apt('install', '-y', '--no-install-recommends', ...packages);
  } finally {
    if (policyIsOurs) rmSync(POLICY, { force: true });
  }
}

/** Programs of one release do not fit the libraries of another one. */
function cacheOfSystem(): string {
  return join(CACHE, `${system('ID')}-${system('VERSION_ID')}`);
}

/** What the system says of itself, such as `VERSION_ID`: 12. */
function system(field: string): string {
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  return new RegExp(`^${field}="?([\\w.-]+)"?$`, 'm').exec(release)?.[1] ?? 'unknown';
}

/** True on Debian itself, before that release. */
export function isDebianBefore(version: number): boolean {
  return system('ID') === 'debian' && Number(system('VERSION_ID')) < version;
}

/** The packages, and those of their dependencies that the machine lacks: apt checks their signatures, and keeps all it notes in `folder`. */
function download(folder: string, packages: readonly string[], release?: string): readonly string[] {
  const own = join(folder, 'apt');
  const archives = join(own, 'archives');
  for (const each of [join(archives, 'partial'), join(own, 'lists', 'partial')]) mkdirSync(each, { recursive: true });
  const flags = ['-qq', '-y', '-o', `Dir::Cache=${own}`, '-o', 'APT::Sandbox::User=root'];
  const ownLists = ['-o', `Dir::State::lists=${join(own, 'lists')}`];
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...args: readonly string[]): void =>
    void runCommand('apt-get', [...flags, ...args], { env, timeoutMs: 600_000 });
  const fetch = (...more: readonly string[]): void =>
    apt(...more, '-o', 'Debug::NoLocking=1', 'install', '--download-only', '--no-install-recommends', ...packages);
  const fetchAnew = (...more: readonly string[]): void => {
    apt(...ownLists, ...more, 'update');
    fetch(...ownLists, ...more);
  };
  if (release !== undefined) fetchAnew(...sourcesOf(own, release));
  else {
    try {
      fetch();
    } catch {
      // The lists of the machine are old, or there are none: such as containers come.
      fetchAnew();
    }
  }
  return readdirSync(archives).flatMap((name) => (name.endsWith('.deb') ? [join(archives, name)] : []));
}

const KEYS = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Flags with which apt knows that release and no other, from the place that the machine's own release comes from. */
function sourcesOf(folder: string, release: string): readonly string[] {
  const own = system('VERSION_CODENAME');
  const places = runCommand('apt-get', ['indextargets', '--format', '$(RELEASE) $(REPO_URI)', 'Created-By: Packages']);
  const uri = new RegExp(`^${own} (\\S+)$`, 'm').exec(places)?.[1];
  if (uri === undefined) throw new Error(`apt-get failed: it knows no place of the release ${own}.`);
  const list = join(folder, 'sources.list');
  writeFileSync(list, `deb [signed-by=${KEYS}] ${uri} ${release} main\n`);
  return ['-o', `Dir::Etc::sourcelist=${list}`, '-o', 'Dir::Etc::sourceparts=-'];
}

/** For each program one that starts it with the libraries and the programs beside it. */
function writeStarters(folder: string, root: string): void {
  const unpacked = join(folder, 'root');
  const below = (path: string): readonly string[] =>
    existsSync(join(unpacked, path)) ? readdirSync(join(unpacked, path)) : [];
  const libraries = ['usr/lib', 'lib'].flatMap((path) =>
    below(path).flatMap((name) => (/-linux-gnu\w*$/.test(name) ? [join(root, path, name)] : [])),
  );
  const folders = ['usr/bin', 'usr/sbin'];
  const paths = folders.map((path) => join(root, path));
  mkdirSync(join(folder, 'bin'));
  for (const path of folders) {
    for (const name of below(path)) {
      const lines = [
        '#!/bin/sh',
        `export LD_LIBRARY_PATH="${libraries.join(':')}\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"`,
        `export PATH="${paths.join(':')}:$PATH"`,
        `exec "${join(root, startedBy(unpacked, join(path, name)))}" "$@"`,
      ];
      writeFileSync(join(folder, 'bin', name), `${lines.join('\n')}\n`, { mode: 0o755 });
    }
  }
}

/**
 * Below `root`, like `path`. A link to a program of the same name is followed: such as erl look for what is theirs beside themselves. One to
 * another name is not: such as redis-server know by their name what they are.
 */
function startedBy(root: string, path: string): string {
  try {
    const target = relative(root, realpathSync(join(root, path)));
    return basename(target) === basename(path) && !target.startsWith('..') ? target : path;
  } catch {
    // A link to what is not in the packages.
    return path;
  }
}
