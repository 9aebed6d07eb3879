/**
 * What the package needs where it is installed. A package that is only there to build and to test is missing there, and nothing here would
 * show it: the tests find it.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ROOT, sourceFiles, type SourceFile } from './source-files.ts';

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional: boolean }>>;
  readonly exports: Readonly<Record<string, string | { readonly types: string }>>;
  readonly typesVersions: Readonly<Record<'*', Readonly<Record<string, readonly string[]>>>>;
};
/** The frameworks and libraries that src/adapters serves: optional peers, whose types are imported there. */
const adapted = Object.fromEntries(
  sourceFiles('src/adapters')
    .flatMap(packagesOf)
    .filter((name) => name in manifest.peerDependencies)
    .map((name) => [name, true]),
);
/** Built into files of its own, with all that it imports. */
const BUNDLED = 'src/dashboard/page/';

/** Names of the packages that the file imports, types included: declarations of the package name them. */
function packagesOf({ code }: SourceFile): readonly string[] {
  const specifiers = [...code.matchAll(/(?:^|[};]\s*)(?:import|export)\b[^'";]*?\bfrom '([^'.][^']*)'/gm)];
  const loaded = [...code.matchAll(/\bimport\(\s*'([^'.][^']*)'/g)];
  return [...specifiers, ...loaded].flatMap(([, specifier = '']) => {
    const [first = '', second] = specifier.split('/');
    if (specifier.startsWith('node:')) return [];
    return [first.startsWith('@') && second !== undefined ? `${first}/${second}` : first];
  });
}

it('is every package that its files import, or one of those that only some need', () => {
  const files = sourceFiles('src').filter(({ path }) => !path.startsWith(BUNDLED));
  const imported = new Map(files.flatMap((file) => packagesOf(file).map((name) => [name, file.path] as const)));
  expect([...imported.keys()]).toEqual(expect.arrayContaining(['pg', 'kysely', 'bullmq', '@opentelemetry/api']));
  const missing = [...imported].filter(
    ([name]) => !(name in manifest.dependencies) && !(name in manifest.peerDependencies) && !(name in adapted),
  );
  expect(missing).toEqual([]);
});

/** Says what to install where it is missing, by its name or by a constant that holds it. */
function advises(code: string, name: string): boolean {
  const byConstant = code.includes(`= '${name}';`) && code.includes('npm install ${PACKAGE}');
  return byConstant || new RegExp(`npm install [^'\n]*(?<![\\w/-])${name}\\b`).test(code);
}

/** Its tokens and decorators are values. Who imports the adapter has loaded it before. */
const OF_NEST = 'src/adapters/nest/';

it('is given to adapters by those who have it: they import types of it, and nothing that runs', () => {
  const files = sourceFiles('src/adapters').filter(({ path }) => !path.startsWith(OF_NEST));
  const running = files.flatMap(({ path, code }) =>
    [
      ...code.matchAll(/^(?:import|export)\b(?! type\b)[^'";]*?\bfrom '([^'.][^']*)'|\bimport\(\s*'([^'.][^']*)'/gm),
    ].flatMap(([, stated = '', loaded = stated]) =>
      loaded in manifest.dependencies || loaded.startsWith('node:') ? [] : [`${path}: ${loaded}`],
    ),
  );
  expect(running).toEqual([]);
  expect(Object.keys(adapted)).toContain('fastify');
});

it('asks for nothing that only some need: that is optional, is tested here, and what needs it says what to install', () => {
  const files = sourceFiles('src');
  const optional = Object.keys(manifest.peerDependencies).map((name) => ({
    name,
    meta: manifest.peerDependenciesMeta[name],
    isTested: name in manifest.devDependencies,
    isInstalled: name in manifest.dependencies,
    advises: name in adapted || files.some(({ code }) => advises(code, name)),
  }));
  expect(optional).toEqual(
    Object.keys(manifest.peerDependencies).map((name) => ({
      name,
      meta: { optional: true },
      isTested: true,
      isInstalled: false,
      advises: true,
    })),
  );
});

it('tells compilers that do not read exports where the declarations of each door are', () => {
  const doors = Object.entries(manifest.exports).flatMap(([name, door]) =>
    name === '.' || typeof door === 'string' ? [] : [[name.slice(2), [door.types]] as const],
  );
  expect(manifest.typesVersions['*']).toEqual(Object.fromEntries(doors));
});
