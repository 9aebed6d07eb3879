/** What `holdfast init` would change: pure, from what it reads. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { detectChoices, detectPackageManager } from '../../src/cli/init/detect.ts';
import { extendManifest } from '../../src/cli/init/manifest.ts';
import {
  BROKERS,
  FRAMEWORKS,
  ORMS,
  partsOf,
  type ProjectChoices,
  type TemplatePart,
} from '../../src/cli/init/parts.ts';
import { planProject } from '../../src/cli/init/plan.ts';

const FIRST: ProjectChoices = { framework: 'none', orm: 'pg', broker: 'postgres' };
const PART: TemplatePart = {
  files: new Map([
    ['src/a.ts', 'a\n'],
    ['tsconfig.json', '{}\n'],
    ['.gitignore', 'node_modules/\n.holdfast/\n'],
  ]),
  dependencies: { zod: '^4.0.0' },
  devDependencies: { tsx: '^4.0.0' },
  scripts: { dev: 'holdfast dev', test: 'vitest run' },
};

const reader = (files: Readonly<Record<string, string>>) => (path: string) => files[path] ?? null;
const planOf = (files: Readonly<Record<string, string>>) =>
  planProject({ parts: [PART], read: reader(files), name: 'shop', holdfast: '1.2.3' });
const states = (files: Readonly<Record<string, string>>) =>
  Object.fromEntries(planOf(files).map(({ path, state }) => [path, state]));

describe('package.json', () => {
  const extend = (before: string | null) => extendManifest({ before, name: 'shop', holdfast: '1.2.3', parts: [PART] });

  it('is made with what the parts need', () => {
    expect(JSON.parse(extend(null))).toEqual({
      name: 'shop',
      type: 'module',
      private: true,
      scripts: { dev: 'holdfast dev', test: 'vitest run' },
      dependencies: { holdfast: '^1.2.3', zod: '^4.0.0' },
      devDependencies: { tsx: '^4.0.0' },
    });
  });

  it('keeps what is there, its order and its indentation, and takes no name that is taken', () => {
    const before = `{
    "name": "mine",
    "scripts": { "dev": "next dev", "test": "echo \\"Error: no test specified\\" && exit 1" },
    "devDependencies": { "zod": "3.0.0", "holdfast": "file:../x" }
}
`;
    const after = extend(before);
    expect(after).toMatch(/^\{\n {4}"name": "mine",\n {4}"scripts"/);
    expect(JSON.parse(after)).toEqual({
      name: 'mine',
      scripts: { dev: 'next dev', test: 'vitest run', 'holdfast:dev': 'holdfast dev' },
      dependencies: {},
      devDependencies: { holdfast: 'file:../x', tsx: '^4.0.0', zod: '3.0.0' },
    });
    expect(extend(after)).toBe(after);
  });

  it.each(['{', '[]', 'null'])('is refused when it is %s', (text) => {
    expect(() => extend(text)).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
  });
});

describe('the plan', () => {
  it('makes all of an empty folder, package.json last', () => {
    expect(planOf({}).map(({ path, state }) => [path, state])).toEqual([
      ['src/a.ts', 'new'],
      ['tsconfig.json', 'new'],
      ['.gitignore', 'new'],
      ['package.json', 'new'],
    ]);
  });

  it('changes nothing of what it made', () => {
    const made = Object.fromEntries(planOf({}).map(({ path, after }) => [path, after]));
    expect(new Set(Object.values(states(made)))).toEqual(new Set(['same']));
    expect(states({ ...made, 'src/a.ts': 'a\r\n' })).toMatchObject({ 'src/a.ts': 'same' });
  });

  it('tells what is only added to from what differs, and leaves the settings of a compiler alone', () => {
    const files = {
      'src/a.ts': 'b',
      'tsconfig.json': '{"strict":true}',
      '.gitignore': 'dist\n/node_modules',
      'package.json': '{}',
    };
    expect(states(files)).toEqual({
      'src/a.ts': 'differs',
      'tsconfig.json': 'theirs',
      '.gitignore': 'added to',
      'package.json': 'added to',
    });
    expect(planOf(files).find(({ path }) => path === '.gitignore')?.after).toBe('dist\n/node_modules\n.holdfast/\n');
  });
});

describe('what a project shows', () => {
  it('is its framework and ORM by its dependencies, and what an earlier run chose', () => {
    expect(detectChoices(reader({}))).toEqual({});
    expect(detectChoices(reader({ 'package.json': '{"dependencies":{"express":"5","kysely":"1"}}' }))).toEqual({
      framework: 'express',
      orm: 'kysely',
    });
    for (const broker of BROKERS) {
      const files = Object.assign(
        {},
        ...partsOf({ ...FIRST, broker }).map((part) => Object.fromEntries(part.files)),
      ) as Record<string, string>;
      expect(detectChoices(reader(files))).toEqual({ ...FIRST, broker });
    }
  });

  it('is its package manager by the lock file, or by what started the command', () => {
    expect(detectPackageManager((path) => path === 'pnpm-lock.yaml', 'npm/10.0.0 node/v20')).toBe('pnpm');
    expect(detectPackageManager(() => false, 'bun/1.2.0')).toBe('bun');
    expect(detectPackageManager(() => false, undefined)).toBe('npm');
  });
});

it('is what npm create holdfast runs, in the same version', () => {
  const manifest = (
    path: string,
  ): { readonly version: string; readonly dependencies: Readonly<Record<string, string>> } =>
    JSON.parse(readFileSync(new URL(`../../${path}package.json`, import.meta.url), 'utf8')) as ReturnType<
      typeof manifest
    >;
  const { version } = manifest('');
  expect(manifest('packages/create-holdfast/')).toMatchObject({ version, dependencies: { holdfast: `^${version}` } });
});

describe('the parts', () => {
  const { dependencies, devDependencies } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  ) as Record<'dependencies' | 'devDependencies', Record<string, string>>;
  const own = { ...dependencies, ...devDependencies };
  const choices = FRAMEWORKS.flatMap((framework) =>
    ORMS.flatMap((orm) => BROKERS.map((broker): ProjectChoices => ({ framework, orm, broker }))),
  );

  it.each(choices)('have every file once: $framework, $orm, $broker', (each) => {
    const paths = partsOf(each).flatMap((part) => [...part.files.keys()]);
    expect(new Set(paths).size).toBe(paths.length);
    expect(paths).toEqual(
      expect.arrayContaining(['holdfast.config.ts', 'src/server.ts', 'src/database.ts', '.gitignore']),
    );
  });

  it('need packages in the versions that are tested here', () => {
    for (const part of choices.flatMap(partsOf)) {
      for (const [name, version] of Object.entries({ ...part.dependencies, ...part.devDependencies })) {
        const tested = own[name];
        if (tested === undefined || name === 'kysely') continue;
        expect(`${name} ${version}`).toBe(`${name} ${tested}`);
      }
    }
  });
});
