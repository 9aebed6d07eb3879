/**
 * Links and paths of the pages. What a page of the package links to is in the package as well, because users read it there.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MISTAKES } from '../simulation/mistakes/list.ts';
import { ROOT } from './source-files.ts';

const { files } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { files: readonly string[] };
/** npm adds these by itself. */
const packed = [...files, 'README.md', 'LICENSE', 'package.json'];
const markdownIn = (folder: string): readonly string[] =>
  readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${folder}/${name}`);
const FOLDERS = ['docs', 'docs/adr', 'docs/coming-from', 'docs/recipes'];
const pages = ['README.md', 'CHANGELOG.md', ...FOLDERS.flatMap(markdownIn)];
/** For those who have the repository. */
const OF_REPOSITORY = ['CONTRIBUTING.md', 'SECURITY.md'];

function linksOf(page: string): readonly string[] {
  const text = readFileSync(join(ROOT, page), 'utf8').replaceAll(/```[\s\S]*?```/g, '');
  return [...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
    .map((match) => match[1] ?? '')
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => normalize(join(dirname(page), target)));
}

describe('links', () => {
  it('are there at all', () => {
    expect(pages.flatMap(linksOf).length).toBeGreaterThan(20);
  });

  it.each(pages)('of %s lead to what is there, in the repository and in the package', (page) => {
    const dead = linksOf(page).filter((target) => !existsSync(join(ROOT, target)));
    expect(dead).toEqual([]);
    const outside = linksOf(page).filter(
      (target) => !packed.some((entry) => target === entry || target.startsWith(`${entry}/`)),
    );
    expect(outside).toEqual([]);
  });

  it.each(OF_REPOSITORY)('of %s lead to what is there in the repository', (page) => {
    expect(linksOf(page).filter((target) => !existsSync(join(ROOT, target)))).toEqual([]);
  });

  it('and the tests and planted mistakes that stand behind guarantees and security are there', () => {
    const texts = ['docs/guarantees.md', 'docs/security.md'].map((page) => readFileSync(join(ROOT, page), 'utf8'));
    const named = [...texts.join('\n').matchAll(/`((?:[a-z]+\/)+[\w.*-]+)`/g)].map((match) => match[1] ?? '');
    expect(named.length).toBeGreaterThan(50);
    const planted = new Set(MISTAKES.map(({ name }) => name));
    const isThere = (name: string): boolean =>
      planted.has(name) ||
      existsSync(join(ROOT, name)) ||
      existsSync(join(ROOT, `test/${name}.test.ts`)) ||
      (name.endsWith('/*') && existsSync(join(ROOT, 'test', dirname(name))));
    expect(named.filter((name) => !isThere(name))).toEqual([]);
  });

  it('and the files that a contributor is sent to are there', () => {
    const named = [...OF_REPOSITORY, ...markdownIn('docs/adr')].flatMap((page) =>
      [...readFileSync(join(ROOT, page), 'utf8').matchAll(/`((?:\.ci|bench|demo|docs|src|test)\/[\w./-]+)`/g)].map(
        (match) => match[1] ?? '',
      ),
    );
    expect(named.length).toBeGreaterThan(20);
    // NAME is for the reader to choose.
    expect(named.filter((path) => !path.includes('NAME') && !existsSync(join(ROOT, path)))).toEqual([]);
  });
});
