/**
 * The public surface: what docs/api says of it is what it is, every type in it is exported, every export is explained, the examples of docstrings compile, and a project of a user with strict options can pass on whatever it is given.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { apiReference } from '../../.ci/site/api-reference.ts';
import { stageSite } from '../../.ci/site/stage.ts';
import { ROOT } from '../house/source-files.ts';
import { declaredNames, examplesOf, exportsOf, type PublicExport, type PublicMember } from './models.ts';

const SLOW_MS = 300_000;
const ENTRIES = [
  'index',
  'bullmq',
  'nats',
  'redis-streams',
  'rabbitmq',
  'kafka',
  'webhooks',
  'testing',
  'transport-testing',
  'vitest',
  'pino',
  'prometheus',
  'dashboard',
  'http',
  'hono',
  'fastify',
  'nest',
  'drizzle',
  'knex',
  'kysely',
  'mikro-orm',
  'node-postgres',
  'postgres-js',
  'prisma',
  'sequelize',
  'typeorm',
] as const;
const REPORTS = join(ROOT, 'docs/api');
const folder = mkdtempSync(join(tmpdir(), 'holdfast-api-'));
/** What `npm run api` found wrong, a line each. */
let faults: readonly string[] = [];

beforeAll(() => {
  const { status, stderr } = spawnSync(process.execPath, [join(ROOT, '.ci/api.mjs'), folder], { encoding: 'utf8' });
  faults = stderr.split('\n').filter((line) => line !== '');
  if (status === null) throw new Error('.ci/api.mjs was killed.');
}, SLOW_MS);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('reports', () => {
  it('say what the surface is', () => {
    const [made, kept] = [join(folder, 'reports'), REPORTS].map((where) => readdirSync(where).toSorted());
    expect(kept).toEqual(made);
    for (const file of made ?? []) {
      const changed = changedLines(read(REPORTS, file), read(join(folder, 'reports'), file));
      expect(changed, `docs/api/${file}: if the surface is meant to change, run \`npm run api\``).toEqual([]);
    }
  });
});

describe('the surface', () => {
  it('exports every type that is in it, and its links lead somewhere', () => {
    expect(faults).toEqual([]);
  });

  it('takes undefined for every option that may be left out', () => {
    expect(surface().flatMap(({ name, members }) => (isGiven(name) ? members.filter(refusesUndefined) : []))).toEqual(
      [],
    );
  });

  it('has no seams of tests among the options', () => {
    const seams = new Set(['clock', 'random', 'crashPoint']);
    const options = exportsOf(join(folder, 'models/index.api.json')).filter(({ name }) => name.endsWith('Options'));
    expect(options.flatMap(({ members }) => members.filter(({ name }) => seams.has(name)))).toEqual([]);
  });
});

describe('docstrings', () => {
  it('are there for every export', () => {
    expect(surface().filter(({ doc }) => doc === '')).toEqual([]);
  });

  it('show an example of everything that can be called', () => {
    const called = surface().filter(({ kind }) => kind === 'Function' || kind === 'Class' || kind === 'Variable');
    const shown = new Set(called.filter((each) => examplesOf(each).length > 0).map(({ name }) => name));
    expect(called.filter(({ name }) => !shown.has(name)).map(({ name, file }) => `${file}: ${name}`)).toEqual([]);
  });
});

describe('the reference on the site', () => {
  it('has every export with its docstring, and no link in it is dead', () => {
    const pages = apiReference(join(folder, 'models'));
    expect(pages.filter(({ partOf }) => partOf === undefined).map(({ entry }) => entry)).toEqual(
      expect.arrayContaining(ENTRIES.map((name) => (name === 'index' ? 'holdfast' : `holdfast/${name}`))),
    );
    const all = pages.map(({ text }) => text).join('\n');
    expect(surface().filter(({ name }) => !all.includes(`\n### ${name}\n`))).toEqual([]);
    expect(all).toContain('| `concurrency?: number` | Most runs at work at once.');
    expect(stageSite(pages).faults).toEqual([]);
  });

  it('has each export of the main entry in one area, and pages that can be read', () => {
    const pages = apiReference(join(folder, 'models'));
    const areas = pages.filter(({ partOf }) => partOf === 'holdfast');
    const main = exportsOf(join(folder, 'models/index.api.json')).map(({ name }) => name);
    const places = main.map((name) => areas.filter(({ text }) => text.includes(`\n### ${name}\n`)).length);
    expect(main.filter((_, index) => places[index] !== 1)).toEqual([]);
    expect(areas.filter(({ text }) => text.split('\n').length > 1_000).map(({ name }) => name)).toEqual([]);
    const areaOf = (name: string) => areas.find(({ text }) => text.includes(`\n### ${name}\n`))?.title;
    expect(['createOutbox', 'createConsumer', 'saga', 'listRuns', 'retryParked', 'doctor'].map(areaOf)).toEqual([
      'Outbox',
      'Inbox',
      'Sagas',
      'Operations: runs',
      'Operations: parked messages and jobs',
      'Operations',
    ]);
  });
});

describe('a project of a user', () => {
  it.each(['nodenext', 'bundler'])(
    'compiles what it was given, with declarations of its own: %s',
    (mode) => {
      expect(compile(mode)).toEqual([]);
    },
    SLOW_MS,
  );
});

function surface(): readonly PublicExport[] {
  return ENTRIES.flatMap((name) => exportsOf(join(folder, 'models', `${name}.api.json`)));
}

/** Interfaces that users fill in. What is only handed out may leave properties out. */
function isGiven(name: string): boolean {
  return /(Options|Config|Filter|Selection|Request|Layout|Faults|(?<!Refused)Act|Route|Resolution|Seams)$/.test(name);
}

function refusesUndefined({ optional, type }: PublicMember): boolean {
  return optional && !/\bundefined\b|: unknown;$/.test(type);
}

function read(...path: readonly string[]): string {
  return readFileSync(join(...path), 'utf8');
}

/** Lines that only one of them has. */
function changedLines(before: string, after: string): readonly string[] {
  const left = new Map<string, number>();
  for (const line of before.split('\n')) left.set(line, (left.get(line) ?? 0) + 1);
  const added = after.split('\n').filter((line) => {
    const count = left.get(line) ?? 0;
    left.set(line, count - 1);
    return count <= 0;
  });
  const gone = [...left].filter(([, count]) => count > 0).map(([line]) => line);
  return [...gone.map((line) => `- ${line}`), ...added.map((line) => `+ ${line}`)];
}

/** Compiles test/api/consumer and the examples against the declarations. Returns what the compiler says. */
function compile(mode: string): readonly string[] {
  const project = join(folder, mode);
  mkdirSync(join(project, 'node_modules'), { recursive: true });
  cpSync(join(folder, 'package'), join(project, 'node_modules/holdfast'), { recursive: true });
  cpSync(join(ROOT, 'test/api/consumer'), join(project, 'src'), { recursive: true });
  writeExamples(join(project, 'src'));
  const modules = mode === 'bundler' ? { module: 'esnext', moduleResolution: 'bundler' } : { module: mode };
  const compilerOptions = {
    ...modules,
    target: 'es2023',
    lib: ['es2023'],
    types: ['node'],
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    declaration: true,
    rewriteRelativeImportExtensions: true,
    outDir: 'out',
    rootDir: 'src',
  };
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'consumer', private: true, type: 'module' }));
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['src'] }));
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const { status, stdout } = spawnSync(process.execPath, [tsc, '-p', project], { cwd: project, encoding: 'utf8' });
  return status === 0 ? [] : stdout.split('\n').filter((line) => line !== '');
}

/** Each example becomes a module, which exports what it declares: so it is a test of the declarations as well. */
function writeExamples(into: string): void {
  const world = declaredNames(read(into, 'world.ts'));
  const entries = ENTRIES.map((name) => ({
    from: name === 'index' ? 'holdfast' : `holdfast/${name}`,
    exports: exportsOf(join(folder, 'models', `${name}.api.json`)),
  }));
  for (const { from, exports } of entries) {
    for (const each of exports) {
      for (const [index, example] of examplesOf(each).entries()) {
        writeFileSync(join(into, fileOf(from, each, index)), moduleOf(example, world, entries));
      }
    }
  }
}

function fileOf(from: string, { name }: PublicExport, index: number): string {
  return `example.${from.replace('/', '.')}.${name}${index === 0 ? '' : `.${index}`}.ts`;
}

function moduleOf(
  example: string,
  world: ReadonlySet<string>,
  entries: readonly { readonly from: string; readonly exports: readonly PublicExport[] }[],
): string {
  const words = new Set(example.match(/[A-Za-z_]\w*/g));
  const own = new Set([...declaredNames(example), ...importedNames(example)]);
  const imports: string[] = [];
  const take = (from: string, names: Iterable<string>): void => {
    const wanted = [...new Set(names)].filter((name) => words.has(name) && !own.has(name));
    for (const name of wanted) own.add(name);
    if (wanted.length > 0) imports.push(`import { ${wanted.join(', ')} } from '${from}';`);
  };
  for (const { from, exports } of entries) {
    take(
      from,
      exports.map(({ name }) => name),
    );
  }
  take('zod', ['z']);
  take('prom-client', ['Registry']);
  take('./world.ts', world);
  const exported = example.replaceAll(/^(const|class|interface|type|function|async function) /gm, 'export $1 ');
  return `${imports.join('\n')}\n${exported}\nexport {};\n`;
}

function importedNames(example: string): readonly string[] {
  return [...example.matchAll(/^import \{([^}]*)\}/gm)].flatMap(([, names = '']) => names.match(/\w+/g) ?? []);
}
