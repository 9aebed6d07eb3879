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
import { filesOf, planProject } from '../../src/cli/init/plan.ts';
import { eachChoiceOnce, everyProject, packagesOf } from '../support/first-projects.ts';

const FIRST: ProjectChoices = { framework: 'none', orm: 'pg', broker: 'postgres' };
const PART: TemplatePart = {
  files: new Map([
    ['src/a.ts', 'a\n'],
    ['tsconfig.json', '{ "compilerOptions": { "strict": true }, "include": ["src"] }\n'],
  ]),
  dependencies: { zod: '^4.0.0' },
  devDependencies: { tsx: '^4.0.0' },
  scripts: { dev: 'holdfast dev', test: 'vitest run' },
  overrides: {},
  compilerOptions: {},
  ignored: ['node_modules/', '.holdfast/'],
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

  it('overrides what a part needs overridden, and nothing that the project overrides itself', () => {
    const parts = [{ ...PART, overrides: { typeorm: { ioredis: '$ioredis' } } }];
    const overridesOf = (before: string | null) => {
      const after = extendManifest({ before, name: 'shop', holdfast: '1.2.3', parts });
      expect(extendManifest({ before: after, name: 'shop', holdfast: '1.2.3', parts })).toBe(after);
      return (JSON.parse(after) as { overrides: object }).overrides;
    };
    expect(overridesOf(null)).toEqual({ typeorm: { ioredis: '$ioredis' } });
    expect(overridesOf('{"overrides":{"pg":"8"}}')).toEqual({ pg: '8', typeorm: { ioredis: '$ioredis' } });
    expect(overridesOf('{"overrides":{"typeorm":"1"}}')).toEqual({ typeorm: '1' });
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

  it('puts together what several parts say of one file', () => {
    const nest: TemplatePart = {
      ...PART,
      files: new Map(),
      compilerOptions: { experimentalDecorators: true },
      ignored: ['src/generated/'],
    };
    const files = filesOf([PART, nest]);
    expect(JSON.parse(files.get('tsconfig.json') ?? '')).toEqual({
      compilerOptions: { strict: true, experimentalDecorators: true },
      include: ['src'],
    });
    expect(files.get('.gitignore')).toBe('node_modules/\n.holdfast/\nsrc/generated/\n');
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
      const files = Object.fromEntries(filesOf(partsOf({ ...FIRST, broker })));
      expect(detectChoices(reader(files))).toEqual({ ...FIRST, broker });
    }
  });

  it.each(everyProject())('is what was chosen, when init runs again: $framework, $orm, $broker', (choices) => {
    const plan = planProject({ parts: partsOf(choices), read: reader({}), name: 'shop', holdfast: '1.2.3' });
    const files = Object.fromEntries(plan.map(({ path, after }) => [path, after]));
    expect(detectChoices(reader(files))).toEqual(choices);
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

  it.each(everyProject())('have every file once: $framework, $orm, $broker', (each) => {
    const parts = partsOf(each);
    const paths = parts.flatMap((part) => [...part.files.keys()]);
    expect(new Set(paths).size).toBe(paths.length);
    expect([...filesOf(parts).keys()]).toEqual(
      expect.arrayContaining([
        'holdfast.config.ts',
        'src/server.ts',
        'src/database.ts',
        'src/queries.ts',
        '.gitignore',
      ]),
    );
  });

  it.each(everyProject())('need the packages that their files import: $framework, $orm, $broker', (each) => {
    const parts = partsOf(each);
    const needed = new Set(Object.keys(packagesOf([each])).concat('holdfast'));
    const code = [...filesOf(parts)].filter(([path]) => path.endsWith('.ts')).map(([, text]) => text);
    const imported = code.flatMap((text) =>
      [...text.matchAll(/(?:from|import) '((?:@[^/']+\/)?[^/'.:]+)(?:\/[^':]*)?';/g)].map(([, name = '']) => name),
    );
    expect(imported).toContain('holdfast');
    expect(imported.filter((name) => !needed.has(name))).toEqual([]);
  });

  it('are all in the few projects that are tried first', () => {
    const tried = eachChoiceOnce();
    expect(new Set(tried.map(({ framework }) => framework))).toEqual(new Set(FRAMEWORKS));
    expect(new Set(tried.map(({ orm }) => orm))).toEqual(new Set(ORMS));
    expect(new Set(tried.map(({ broker }) => broker))).toEqual(new Set(BROKERS));
  });

  it('need packages in the versions that are tested here', () => {
    for (const part of everyProject().flatMap(partsOf)) {
      for (const [name, version] of Object.entries({ ...part.dependencies, ...part.devDependencies })) {
        const tested = own[name];
        if (tested === undefined || name === 'kysely') continue;
        expect(`${name} ${version}`).toBe(`${name} ${tested}`);
      }
    }
  });
});
