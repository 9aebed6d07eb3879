/**
 * docs/dependencies.md: what is installed with the package and what is built into it, with their licences, from package-lock.json.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const HEAD = `# Dependencies

Made by \`npm run reference\` from \`package-lock.json\`: what others have written of what you install, and its licences. The versions that a release was tested with stand in its bill of materials, a CycloneDX file beside the release.

None of these packages runs anything at its install, and all of their licences ask for no more than to be named; a test holds both. What only some need, such as the client of a broker, is a peer dependency and not among them.`;

interface Locked {
  readonly license?: string;
  readonly dev?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
}

export function dependenciesPage(): string {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, Locked>>;
  };
  const installed = Object.entries(packages).flatMap(([path, { dev, license }]) =>
    path === '' || dev === true ? [] : [[path.replace(/^.*node_modules\//, ''), license ?? '?'] as const],
  );
  const built = [...closure(packages, importedByPage())].map(
    (name) => [name, packages[`node_modules/${name}`]?.license ?? '?'] as const,
  );
  return `${[
    HEAD,
    '## Installed with it',
    table(installed),
    '## Built into the page of the dashboard',
    'Their licences lie in the package beside the page, in `dist/dashboard/page/licenses.md`.',
    table(built),
  ].join('\n\n')}\n`;
}

function table(rows: readonly (readonly [name: string, license: string])[]): string {
  const sorted = [...new Map(rows)].toSorted(([left], [right]) => (left < right ? -1 : 1));
  return [
    '| package | licence |',
    '|---|---|',
    ...sorted.map(([name, license]) => `| \`${name}\` | ${license} |`),
  ].join('\n');
}

function importedByPage(): readonly string[] {
  const folder = join(ROOT, 'src/dashboard/page');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => /\.tsx?$/.test(name));
  return files.flatMap((file) =>
    [
      ...readFileSync(join(folder, file), 'utf8').matchAll(
        /^(?:import|export)\b[^'";]*?\bfrom '((?:@[^/']+\/)?[^./'][^/']*)/gm,
      ),
    ]
      .filter(([statement]) => !/^(?:import|export) type\b/.test(statement))
      .map(([, name = '']) => name),
  );
}

/** They and what they need, at the top of node_modules, where the page's few packages are. */
function closure(packages: Readonly<Record<string, Locked>>, names: readonly string[]): ReadonlySet<string> {
  const found = new Set(names);
  for (const name of found) {
    for (const needed of Object.keys(packages[`node_modules/${name}`]?.dependencies ?? {})) found.add(needed);
  }
  return found;
}
