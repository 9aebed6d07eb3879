/**
 * The next version (`npm run next-version`): changesets say which and write CHANGELOG.md; what else bears the number follows: create-holdfast,
 * the chart, the lockfile. Look at the difference, and commit it.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const read = (path: string): string => readFileSync(`${ROOT}${path}`, 'utf8');

/** What the version stands in, by path, as it must read. */
export function bearersOf(version: string, textOf: (path: string) => string): ReadonlyMap<string, string> {
  const create = 'packages/create-holdfast/package.json';
  const chart = 'deploy/helm/holdfast/Chart.yaml';
  const manifest = JSON.parse(textOf(create)) as { readonly dependencies: object };
  const next = { ...manifest, version, dependencies: { ...manifest.dependencies, holdfast: `^${version}` } };
  return new Map([
    [create, `${JSON.stringify(next, null, 2)}\n`],
    [chart, textOf(chart).replaceAll(/^(version|appVersion): .+$/gm, `$1: ${version}`)],
  ]);
}

/** Changesets write above everything; it belongs below the words at the top, with its date. */
export function placeSection(changelog: string, version: string, date: string): string {
  const [head = '', rest = ''] = changelog.split(/(?<=^# .+\n\n)/);
  const [section = '', ...others] = rest.split(/\n(?=(?!#)\S.*\n\n## )/);
  if (!section.startsWith(`## ${version}\n`)) throw new Error(`CHANGELOG.md does not begin with version ${version}.`);
  const [words = '', ...before] = others.join('\n').split(/\n(?=## )/);
  return `${head}${words}\n${section.trimEnd().replace(`## ${version}`, `## [${version}] - ${date}`)}\n\n${before.join('\n')}`;
}

function run(command: string, args: readonly string[]): void {
  const { status } = spawnSync(command, args, { cwd: ROOT, stdio: 'inherit' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed.`);
}

function main(): void {
  if (Number(process.versions.node.split('.')[0]) < 22) throw new Error('Changesets need Node 22 or later.');
  const versionOf = (): string => (JSON.parse(read('package.json')) as { readonly version: string }).version;
  const before = versionOf();
  run('npx', ['--no-install', 'changeset', 'version']);
  const version = versionOf();
  if (version === before) throw new Error('There is no changeset, so there is nothing to release.');
  const [date = ''] = new Date().toISOString().split('T');
  writeFileSync(`${ROOT}CHANGELOG.md`, placeSection(read('CHANGELOG.md'), version, date));
  for (const [path, text] of bearersOf(version, read)) writeFileSync(`${ROOT}${path}`, text);
  run('npm', ['install', '--package-lock-only', '--ignore-scripts', '--no-audit', '--no-fund']);
  console.log(`${before} -> ${version}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
