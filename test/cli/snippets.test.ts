/**
 * What the pages show compiles as it stands there: every block that begins with an import is a whole module, unless it leaves something
 * out (…). Blocks without an import are fragments of what surrounds them.
 */
import { execFile } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT } from '../house/source-files.ts';

const COMPILE_MS = 120_000;
/** Pages that teach by code: each must have some. */
const TEACHING = ['README.md', 'docs/tutorial.md', 'docs/sagas.md', 'docs/participants.md'];

const markdownIn = (folder: string): string[] =>
  readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${folder}/${name}`);
const recipes = markdownIn('docs/recipes').filter((page) => !page.endsWith('/README.md'));
const pages = ['README.md', ...markdownIn('docs'), ...recipes];
let folder = '';

beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'holdfast-snippets-')));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('pages', () => {
  it('show code that compiles', { timeout: COMPILE_MS }, async () => {
    const found = [...pages.flatMap((page) => modulesOf(page)), ...examples()];
    for (const page of [...TEACHING, ...recipes]) expect(found.some((module) => module.page === page)).toBe(true);
    expect(await compile(found)).toBe('');
  });
});

interface Module {
  readonly page: string;
  /** Says page and line, so that the compiler's errors do. */
  readonly file: string;
  readonly text: string;
}

function modulesOf(page: string): Module[] {
  const text = readFileSync(join(ROOT, page), 'utf8');
  return [...text.matchAll(/^```ts\n(?<code>[\s\S]*?)^```$/gm)].flatMap((match) => {
    const code = match.groups?.['code'] ?? '';
    if (!/^import /m.test(code) || code.includes('…')) return [];
    const before = text.slice(0, match.index);
    const name = `${page.replaceAll(/\W/g, '-')}-line-${before.split('\n').length}.ts`;
    // Files of a project that a page builds import each other.
    const [, ofProject] = /<!-- quickstart: file=(\S+) -->\n$/.exec(before) ?? [];
    return [{ page, file: ofProject === undefined ? name : `${page.replaceAll(/\W/g, '-')}/${ofProject}`, text: code }];
  });
}

/** Whole files to copy. */
function examples(): Module[] {
  const within = 'docs/examples';
  return readdirSync(join(ROOT, within)).map((file) => ({
    page: within,
    file,
    text: readFileSync(join(ROOT, within, file), 'utf8'),
  }));
}

/** What the compiler has against them; nothing, if all is well. */
async function compile(modules: readonly Module[]): Promise<string> {
  for (const { file, text } of modules) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), text);
  }
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const tsconfig = {
    compilerOptions: {
      target: 'es2023',
      module: 'nodenext',
      types: ['node'],
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: true,
      allowImportingTsExtensions: true,
      noEmit: true,
      // As an application has it: not a package, so a bare script may await.
      moduleDetection: 'force',
      paths: entryPoints(),
    },
    files: modules.map(({ file }) => file),
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(tsconfig));
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  return promisify(execFile)(process.execPath, [tsc, '-p', folder, '--pretty', 'false']).then(
    ({ stdout }) => stdout,
    (error: unknown) => (error as { readonly stdout?: string }).stdout ?? String(error),
  );
}

/** What the package exports, by the names that its users import. */
function entryPoints(): Readonly<Record<string, readonly string[]>> {
  const { exports: exported } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    readonly exports: Readonly<Record<string, string | { readonly default: string }>>;
  };
  return Object.fromEntries(
    Object.entries(exported).flatMap(([name, target]) => {
      if (typeof target === 'string') return [];
      const source = target.default.replace('./dist/', 'src/').replace(/js$/, 'ts');
      return [[name.replace('.', 'holdfast'), [join(ROOT, source)]]];
    }),
  );
}
