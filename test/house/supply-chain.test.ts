/**
 * What comes from elsewhere: each package is named by its content, tools and actions by one version, nothing runs at its install, and its
 * licence asks for no more than to be named.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { toolsOf } from '../../.ci/empty-project.ts';
import { ROOT } from './source-files.ts';

const textOf = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const Locked = z.object({
  version: z.string(),
  integrity: z.string().optional(),
  resolved: z.string().optional(),
  license: z.string().optional(),
  dev: z.boolean().optional(),
  optional: z.boolean().optional(),
  hasInstallScript: z.boolean().optional(),
});
const { packages } = z
  .object({ packages: z.record(z.string(), z.looseObject({})) })
  .parse(JSON.parse(textOf('package-lock.json')));
const locked = Object.entries(packages).flatMap(([path, entry]) =>
  path === '' ? [] : [{ path, ...Locked.parse(entry) }],
);
/** What is installed with the package, on one platform or another. */
const shipped = locked.filter(({ dev }) => dev !== true);
const manifests = ['package.json', 'packages/create-holdfast/package.json'].map((path) => ({
  path,
  scripts: z.object({ scripts: z.record(z.string(), z.string()).default({}) }).parse(JSON.parse(textOf(path))).scripts,
}));

describe('the lockfile', () => {
  it('has the content of each package, also of those for other platforms; `npm run lockfile` puts it there', () => {
    expect(locked.length).toBeGreaterThan(500);
    expect(locked.filter(({ integrity = '' }) => !/^sha512-[\w+/]{86}==$/.test(integrity))).toEqual([]);
  });

  it('leaves to everybody where packages are fetched from', () => {
    expect(locked.filter(({ resolved }) => resolved !== undefined)).toEqual([]);
    expect(textOf('.npmrc')).toMatch(/^omit-lockfile-registry-resolved=true$/m);
  });
});

describe('what is installed with the package', () => {
  it('runs nothing at its install, but for what may be missing', () => {
    expect(shipped.length).toBeGreaterThan(40);
    expect(shipped.filter((each) => each.hasInstallScript === true && each.optional !== true)).toEqual([]);
    // npm runs `prepare` of packages that come from git.
    const running = manifests.flatMap(({ path, scripts }) =>
      ['preinstall', 'install', 'postinstall', 'prepare'].flatMap((name) =>
        name in scripts ? [`${path}: ${name}`] : [],
      ),
    );
    expect(running).toEqual([]);
  });

  it('has licences that ask for no more than to be named', () => {
    const free = new Set(['MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', '0BSD']);
    expect(shipped.filter(({ license = 'none' }) => !free.has(license))).toEqual([]);
  });
});

describe('tools', () => {
  const scripts = readdirSync(join(ROOT, '.ci'), { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => [`.ci/${name}`, textOf(`.ci/${name}`)] as const);

  it('that scripts fetch under another name come in one version', () => {
    const named = scripts.flatMap(([path, text]) => {
      const constants = Object.fromEntries(
        [...text.matchAll(/\b([A-Z]+\d+)='([^']+)'/g)].map(([, name, value]) => [name, value]),
      );
      return [...text.matchAll(/@npm:[@\w$/{}.-]+?@([^\s'"`)]+)/g)].map(([, version = '']) => ({
        path,
        version: constants[version.replace('$', '')] ?? version,
      }));
    });
    expect(named.length).toBeGreaterThan(4);
    expect(named.filter(({ version }) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))).toEqual([]);
  });

  it('of the tests of the package are those of the lockfile', () => {
    expect(toolsOf('esbuild', '@types/node')).toMatch(/^'esbuild@\d+\.\d+\.\d+' '@types\/node@\d+\.\d+\.\d+'$/);
  });

  it.each(readdirSync(join(ROOT, '.github/workflows')))(
    'that the workflow %s uses are named by their commit',
    (name) => {
      const text = textOf(`.github/workflows/${name}`);
      parse(text);
      const used = [...text.matchAll(/\buses: *(.+)$/gm)].map(([, action = '']) => action);
      expect(used.length).toBeGreaterThan(0);
      // The comment is what people, and programs that bring newer ones, read.
      expect(used.filter((action) => !/^[\w-]+\/[\w./-]+@[\da-f]{40} # v\d+\.\d+\.\d+$/.test(action))).toEqual([]);
    },
  );
});
